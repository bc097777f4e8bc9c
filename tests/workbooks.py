"""Writes .xlsx files, with what the tests need of the format."""

import zipfile
from datetime import date
from xml.sax.saxutils import escape


def cell(value) -> str:
    """Write a cell of a sheet."""
    match value:
        case None:
            return "<c/>"
        case "#N/A":
            return '<c t="e"><v>#N/A</v></c>'
        case bool():
            return f'<c t="b"><v>{int(value)}</v></c>'
        case int() | float():
            return f"<c><v>{value}</v></c>"
        case date():
            return f'<c s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
    return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'


def workbook(path, rows, others=()):
    """Write a sheet ``Ratings``, and empty ones."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    sheets = {"Ratings": rows} | {name: [] for name in others}
    names, links = "", ""
    with zipfile.ZipFile(path, "w") as file:
        for number, (name, lines) in enumerate(sheets.items(), 1):
            names += f'<sheet name="{name}" sheetId="{number}" r:id="r{number}"/>'
            links += (
                f'<Relationship Id="r{number}" Type="{office}/worksheet" '
                f'Target="worksheets/sheet{number}.xml"/>'
            )
            data = "".join(f"<row>{''.join(map(cell, line))}</row>" for line in lines)
            file.writestr(
                f"xl/worksheets/sheet{number}.xml",
                f'<worksheet xmlns="{main}"><sheetData>{data}</sheetData></worksheet>',
            )
        links += f'<Relationship Id="s" Type="{office}/styles" Target="styles.xml"/>'
        file.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{main}"><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
            "</styleSheet>",
        )
        file.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{names}</sheets></workbook>',
        )
        relations = f'<Relationships xmlns="{package}/relationships">'
        file.writestr("xl/_rels/workbook.xml.rels", f"{relations}{links}</Relationships>")
        file.writestr(
            "_rels/.rels",
            f'{relations}<Relationship Id="w" Type="{office}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        file.writestr("[Content_Types].xml", f'<Types xmlns="{package}/content-types"/>')
    return path
