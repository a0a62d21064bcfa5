"""See ipykernel."""

IPKernelApp = object
