"""MLflow, where it is installed; importing this package does not import it."""

from __future__ import annotations

from typing import Any

from mogradjudge.errors import SetupError


def import_mlflow() -> Any:
    """Import MLflow.

    Raises:
        SetupError: If it is not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise SetupError(
            "Logging to MLflow needs mlflow, which is not installed. Install the extra: "
            'pip install "mogradjudge[mlflow]".'
        ) from error
    return mlflow
