/* What the process sees of file systems: mounts, files, devices, descriptors. */
#include "probe.h"
#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>

static const char *store(void)
{
    return getenv("NIX_STORE") ? getenv("NIX_STORE") : "/nix/store";
}

static void tell_descriptor(int number)
{
    char key[64];
    struct stat status;
    fstat(number, &status);
    snprintf(key, sizeof key, "descriptor.%d", number);
    const char *kind = S_ISCHR(status.st_mode) ? "character" : S_ISFIFO(status.st_mode) ? "pipe" : "other";
    if (S_ISCHR(status.st_mode) && !isatty(number))
        say(key, "%s %d:%d flags %#o", kind, major(status.st_rdev), minor(status.st_rdev), fcntl(number, F_GETFL));
    else
        say(key, "%s tty %d flags %#o", kind, isatty(number), fcntl(number, F_GETFL));
    struct termios modes;
    struct winsize size;
    if (isatty(number) && tcgetattr(number, &modes) == 0 && ioctl(number, TIOCGWINSZ, &size) == 0) {
        snprintf(key, sizeof key, "terminal.%d", number);
        say(key, "iflag %o oflag %o cflag %o lflag %o size %d %d mode %o owner %d %d name %s", modes.c_iflag,
            modes.c_oflag, modes.c_cflag, modes.c_lflag, size.ws_row, size.ws_col, status.st_mode & 07777,
            status.st_uid, status.st_gid, ttyname(number) ? "known" : strerrorname_np(errno));
    }
}

void tell_descriptors(void)
{
    DIR *open_ones = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(open_ones));) {
        int number = atoi(entry->d_name);
        if (entry->d_name[0] != '.' && number != dirfd(open_ones))
            tell_descriptor(number);
    }
    closedir(open_ones);
    struct stat one, two;
    fstat(1, &one);
    fstat(2, &two);
    say("descriptor.1 is 2", "%d", one.st_ino == two.st_ino && one.st_dev == two.st_dev);
}

/* proc(5), mountinfo: number, parent, device, root, place, options, [propagation…] -, type, source, options */
static void tell_mount(char *line)
{
    char *field[32] = {0}, key[4200];
    int count = 0, dash = 0;
    for (char *word = strtok(line, " "); word && count < 31; word = strtok(NULL, " ")) {
        if (!dash && count > 5 && strcmp(word, "-") == 0)
            dash = count;
        field[count++] = word;
    }
    if (!dash || count < dash + 4)
        return;
    int shared = 0;
    for (int i = 6; i < dash; i++)
        shared |= strncmp(field[i], "shared:", 7) == 0;
    const char *type = field[dash + 1];
    int own = strcmp(type, "proc") == 0 || strcmp(type, "devpts") == 0 || strcmp(type, "tmpfs") == 0;
    snprintf(key, sizeof key, "mount.%s", field[4]);
    /* Of a device's file system only the type is the sandbox's affair; tmpfs has ids as the host counts. */
    say(key, "%s %s %s %s", field[5], shared ? "shared" : "private", type,
        own && strcmp(field[4], "/dev/shm") == 0 ? field[dash + 2] : own && !strstr(field[4], "/dev/") ? field[dash + 3]
        : strcmp(type, "devpts") == 0 && strcmp(field[4], "/dev/pts") == 0 ? field[dash + 3] : "-");
}

void tell_mounts(void)
{
    char *text = contents("/proc/self/mountinfo", NULL), *rest = text, *line;
    while (!on_host() && rest && (line = strsep(&rest, "\n")))
        tell_mount(line);
    free(text);
    const char *places[] = {"/", "/tmp", "/build", "/dev", "/dev/shm", "/dev/pts", "/proc", "/nix/store", "/etc"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct statfs system;
        char key[64];
        snprintf(key, sizeof key, "statfs.%s", places[i]);
        if (statfs(places[i], &system) < 0)
            outcome(key, -1);
        else
            say(key, "%#lx", (unsigned long)system.f_type);
    }
}

static void walk(const char *path)
{
    struct stat status;
    char key[4200], target[4096] = "";
    snprintf(key, sizeof key, "tree.%s", path);
    if (lstat(path, &status) < 0)
        return outcome(key, -1);
    const char *kinds = "?pc?d?b?-?l?s???";
    char kind = kinds[status.st_mode >> 12 & 15];
    char about[128] = "";
    int in_store = strncmp(path, store(), strlen(store())) == 0 && path[strlen(store())] == '/';
    if (kind == 'c' || kind == 'b')
        snprintf(about, sizeof about, " %d:%d", major(status.st_rdev), minor(status.st_rdev));
    else if (kind == '-')
        snprintf(about, sizeof about, " size %lld", (long long)status.st_size);
    if (kind == '-') {
        char links[4200];
        snprintf(links, sizeof links, "links.%s", path);
        say(links, "%d", (int)status.st_nlink);
    }
    if (in_store)
        snprintf(about + strlen(about), sizeof about - strlen(about), " time %s",
            status.st_mtime == 1 ? "1" : "of now");
    if (kind == 'l')
        (void)!readlink(path, target, sizeof target - 1);
    say(key, "%c %04o%s%s%s", kind, status.st_mode & 07777, about, *target ? " -> " : "", target);
    snprintf(key, sizeof key, "owner.%s", path);
    say(key, "%d:%d", status.st_uid, status.st_gid);
    if (kind != 'd' || in_store || strcmp(path, "/proc") == 0 || strcmp(path, "/sys") == 0)
        return;
    if (on_host() && strcmp(path, "/") != 0)
        return;
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char inner[4096];
        const char *name = names[i]->d_name;
        snprintf(inner, sizeof inner, "%s/%s", strcmp(path, "/") == 0 ? "" : path, name);
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            walk(inner);
    }
}

void tell_tree(void)
{
    walk("/");
    if (on_host())
        walk(getenv("NIX_BUILD_TOP") ? getenv("NIX_BUILD_TOP") : "/build");
    walk("/homeless-shelter");
    struct dirent **names;
    int count = scandir("/proc", &names, NULL, alphasort), processes = 0;
    for (int i = 0; i < count; i++)
        processes += names[i]->d_name[0] >= '1' && names[i]->d_name[0] <= '9';
    say("proc.processes", "%d", processes);
    char target[4096] = "";
    (void)!readlink("/proc/1/root", target, sizeof target - 1);
    say("proc.1.root", "%s", target);
    outcome("proc.above root", chdir("/..") || access("usr", F_OK));
    (void)!chdir(getenv("PWD") ? getenv("PWD") : "/");
}

void tell_files(void)
{
    const char *files[] = {"/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf",
                           "/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/sysvipc/sem"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char key[64], *text = contents(files[i], NULL);
        snprintf(key, sizeof key, "file.%s", files[i]);
        say(key, "%s", text ? text : strerrorname_np(errno));
        free(text);
    }
}
