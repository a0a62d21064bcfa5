"""See ipykernel."""
