"""Running model files: sessions, face detectors, predictor, model store."""
