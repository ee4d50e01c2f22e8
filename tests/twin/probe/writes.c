/* Where the process can write: the root, its inputs, terminals. */
#include "probe.h"
#include <sys/ioctl.h>
#include <sys/mman.h>

static void try_place(const char *place)
{
    char key[4200], path[4200];
    snprintf(key, sizeof key, "write.%s", place);
    snprintf(path, sizeof path, "%s/try-of-the-probe", place);
    outcome(key, mkdir(path, 0755));
    rmdir(path);
}

void try_writes(void)
{
    const char *places[] = {"/", "/etc", "/nix", "/nix/store", "/dev", "/dev/pts", "/bin", "/proc", "/tmp",
                            "/build", "/dev/shm", "."};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        try_place(places[i]);
    if (getenv("NIX_STORE"))
        try_place(getenv("NIX_STORE"));
    outcome("write./etc/passwd", open("/etc/passwd", O_WRONLY));
    outcome("write./etc/hosts", open("/etc/hosts", O_WRONLY));
    outcome("write./bin/sh", open("/bin/sh", O_WRONLY));
    outcome("write.rmdir /bin", rmdir("/bin"));
    outcome("write.chmod /", chmod("/", 0750));
    if (getenv("out")) {
        struct stat status;
        int there = lstat(getenv("out"), &status) == 0;
        outcome("write.out", mkdir(getenv("out"), 0755));
        try_place(getenv("out"));
        if (!there)
            rmdir(getenv("out"));
    }
    int shared = shm_open("/probe", O_CREAT | O_RDWR, 0600);
    outcome("write.shared memory", shared);
    shm_unlink("/probe");
}

void try_inputs(void)
{
    char self[4096] = "", inner[4200];
    (void)!readlink("/proc/self/exe", self, sizeof self - 1);
    const char *directory = directory_input();
    snprintf(inner, sizeof inner, "%s/setup", directory);
    try_place(directory);
    outcome("input.directory.unlink inside", unlink(inner));
    outcome("input.directory.write", open(inner, O_WRONLY));
    outcome("input.directory.rmdir", rmdir(directory));
    outcome("input.directory.rename", rename(directory, "/tmp/moved"));
    outcome("input.directory.access", access(directory, W_OK));
    outcome("input.file.unlink", unlink(self));
    outcome("input.file.write", open(self, O_WRONLY));
    outcome("input.file.access", access(self, W_OK));
    outcome("input.file.link", link(self, "/tmp/linked"));
    unlink("/tmp/linked");
    outcome("input.file.execute", access(self, X_OK));
}

void try_terminals(void)
{
    outcome("terminal.controlling", open("/dev/tty", O_RDWR));
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    outcome("terminal.open", master);
    grantpt(master);
    unlockpt(master);
    char name[64] = "";
    int found = ptsname_r(master, name, sizeof name);
    say("terminal.name", "%s", found == 0 ? name : "none");
    struct stat status;
    int slave = open(name, O_RDWR | O_NOCTTY);
    outcome("terminal.slave", slave);
    if (fstat(slave, &status) == 0)
        say("terminal.mode", "%04o %d:%d", status.st_mode & 07777, status.st_uid, status.st_gid);
    close(slave);
    close(master);
    outcome("terminal.null", open("/dev/null", O_RDWR));
    outcome("terminal.full", write(open("/dev/full", O_RDWR), "x", 1));
    char byte;
    outcome("terminal.random", read(open("/dev/urandom", O_RDONLY), &byte, 1));
}
