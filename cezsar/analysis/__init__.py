"""Why a method is right or wrong: measurements on kept scores and embeddings, no model and no video."""
