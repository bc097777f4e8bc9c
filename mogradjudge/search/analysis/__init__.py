"""What a study's trials say: effects, the best trial, figures, the verdict."""
