#!/bin/sh
# From a spreadsheet's CSV file to a confirmed judge, command by command; it takes seconds.
#
#     uv run sh examples/02_csv_start.sh [FOLDER]
#
# The table, data/shop.csv, is as people have them: semicolons, blanks around the names of columns,
# blank rows, scores with words. For a table of your own put its file and your model here, such as
# openai/gpt-4o-mini, and leave --steps out. Calls: none; the model's replies are recorded.
set -eu
examples=$(cd "$(dirname "$0")" && pwd)
table=$examples/data/shop.csv
model=recorded/$(dirname "$examples")/mogradjudge/demo/recorded/a-large-model.jsonl
out=${1:-csv-start}
mkdir -p "$out"

# A draft: what the columns seem to be. --yes takes all guesses; without it init asks.
mogradjudge init "$table" --yes --force --group ticket --out "$out/draft.toml"

# Write into its definitions what the raters were told, which here gave rubrics/shop.toml.
rubric=$examples/rubrics/shop.toml
mogradjudge check "$table" --rubric "$rubric"

# Run it again to go on with what was cut short. The report is $out/run/report.html.
mogradjudge compile "$table" --rubric "$rubric" --lm "$model" --steps 4 --yes --out "$out/run"

mogradjudge show "$out/run"   # the instructions that it found, and the prompt as it is sent
