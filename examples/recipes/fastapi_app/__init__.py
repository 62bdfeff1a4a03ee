"""A FastAPI service that waits for answers, or stores them as they come, made to be copied. See README.md."""
