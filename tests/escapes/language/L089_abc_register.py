"""L089 ABC registration fools isinstance

kind: mutation
expect: ImportError
"""

from abc import ABC
reached = ABC.register
