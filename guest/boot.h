/* What the zygote's interpreter is started with: `python -I -B -X utf8 -c guest_boot`.
 *
 * It loads the guest module from the descriptor it was given (so the interpreter's user needs no
 * right to the file) and calls its main(), which never returns. An interpreter that cannot do that
 * says why in a MSG_ZYGOTE_FAILED of its own: everything before the import has to run on any
 * Python 3. */
#ifndef BELLJAR_GUEST_BOOT_H
#define BELLJAR_GUEST_BOOT_H

/* Literal numbers, since an enum's values cannot be pasted into text; guest/module.c asserts that
 * they are right. */
#define BOOT_FAILED_TYPE 97
#define BOOT_CHANNEL     3
#define BOOT_MODULE      4

#define BOOT_TEXT(x)  #x
#define BOOT_VALUE(x) BOOT_TEXT(x)

/* The 8 is ENOEXEC. */
/* Text that would break the lines of another language. */
/* clang-format off */
static const char guest_boot[] =
    "import sys, os\n"
    "def failed(text):\n"
    "    pack = lambda part: len(part).to_bytes(4, 'little') + part\n"
    "    os.write(" BOOT_VALUE(BOOT_CHANNEL) ", (" BOOT_VALUE(BOOT_FAILED_TYPE) ").to_bytes(4, 'little')\n"
    "             + (8).to_bytes(4, 'little') + pack(b'interpreter')\n"
    "             + pack(text.encode('utf-8', 'replace')[:4000]))\n"
    "    os._exit(1)\n"
    "version = '%d.%d.%d' % sys.version_info[:3]\n"
    "need = 'belljar needs CPython 3.11 or later: choose one with --python'\n"
    "if sys.implementation.name != 'cpython':\n"
    "    failed('%s is %s %s; %s' % (sys.executable, sys.implementation.name, version, need))\n"
    "if sys.version_info < (3, 11):\n"
    "    failed('%s is Python %s; %s' % (sys.executable, version, need))\n"
    "try:\n"
    "    import _imp\n"
    "    from _frozen_importlib import ModuleSpec\n"
    "    spec = ModuleSpec('_belljar_guest', None, origin='/proc/self/fd/" BOOT_VALUE(BOOT_MODULE) "')\n"
    "    module = _imp.create_dynamic(spec)\n"
    "    _imp.exec_dynamic(module)\n"
    "except BaseException as error:\n"
    "    failed('%s (Python %s) cannot load the guest module: %s' % (sys.executable, version, error))\n"
    "type(failed)(compile('module.main()', '<belljar>', 'eval'), globals())()\n"; /* a program's frames end there */
/* clang-format on */

#endif
