"""See ipykernel."""

Kernel = object
