"""L104 copyreg.pickle registers a reducer

kind: mutation
expect: ImportError
"""

import copyreg
reached = copyreg.pickle
