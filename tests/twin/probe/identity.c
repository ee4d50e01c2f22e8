/* Who this process is, and what the kernel lets it be. */
#include "probe.h"
#include <grp.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>

static void say_words(const char *key, char *text)
{
    char line[4096] = "";
    for (char *word = strtok(text, " \t\n"); word; word = strtok(NULL, " \t\n"))
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%s", *line ? " " : "", word);
    say(key, "%s", line);
}

static void say_file(const char *key, const char *path)
{
    char *text = contents(path, NULL);
    if (text)
        say_words(key, text);
    else
        say(key, "%s", strerrorname_np(errno));
    free(text);
}

void tell_identity(void)
{
    uid_t r, e, s;
    getresuid(&r, &e, &s);
    say("identity.uid", "%d %d %d", r, e, s);
    gid_t rg, eg, sg;
    getresgid(&rg, &eg, &sg);
    say("identity.gid", "%d %d %d", rg, eg, sg);
    say("identity.groups", "%d", getgroups(0, NULL));
    say_file("identity.uid_map", "/proc/self/uid_map");
    say_file("identity.gid_map", "/proc/self/gid_map");
    say_file("identity.setgroups", "/proc/self/setgroups");
    char *status = contents("/proc/self/status", NULL), *rest = status, *line;
    const char *wanted = " CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Seccomp_filters"
                         " SigBlk SigIgn SigCgt ShdPnd SigPnd Umask NSpid TracerPid Speculation_Store_Bypass"
                         " Cpus_allowed_list Threads ";
    while (rest && (line = strsep(&rest, "\n"))) {
        char *colon = strchr(line, ':'), name[64], padded[70], key[80];
        if (!colon || colon - line > 60)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(colon - line), line);
        snprintf(padded, sizeof padded, " %s ", name);
        snprintf(key, sizeof key, "status.%s", name);
        if (strstr(wanted, padded))
            say(key, "%s", colon + 1 + strspn(colon + 1, " \t"));
    }
    free(status);
    const char *namespaces[] = {"user", "mnt", "pid", "ipc", "net", "uts", "cgroup", "time"};
    for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces; i++) {
        char path[64], key[64], target[64] = "";
        snprintf(path, sizeof path, "/proc/self/ns/%s", namespaces[i]);
        snprintf(key, sizeof key, "namespace.%s", namespaces[i]);
        if (readlink(path, target, sizeof target - 1) < 0)
            snprintf(target, sizeof target, "%s", strerrorname_np(errno));
        say(key, "%s", target);
    }
}

static void tell_limits(void)
{
    const char *names[] = {"cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock",
                           "as", "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
    for (int i = 0; i < 16; i++) {
        struct rlimit limit;
        char key[64];
        getrlimit(i, &limit);
        snprintf(key, sizeof key, "limit.%s", names[i]);
        say(key, "%lld %lld", (long long)limit.rlim_cur, (long long)limit.rlim_max);
    }
}

void tell_process(char **argv)
{
    struct utsname name;
    uname(&name);
    say("uname.nodename", "%s", name.nodename);
    say("uname.domainname", "%s", name.domainname);
    say("uname.machine", "%s", name.machine);
    say("uname.release", "%s", name.release);
    say("process.personality", "%#x", personality(0xffffffff));
    say("process.argv0", "%s", argv[0]);
    char path[4096] = "";
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0)
        outcome("process.exe", -1);
    else
        say("process.exe", "%s", path);
    say("process.cwd", "%s", getcwd(path, sizeof path) ? path : strerrorname_np(errno));
    say("process.ids", "pid %d ppid %d pgrp %d sid %d", getpid(), getppid(), getpgrp(), getsid(0));
    int signal = 0, reaper = 0;
    prctl(PR_GET_PDEATHSIG, &signal);
    prctl(PR_GET_CHILD_SUBREAPER, &reaper);
    say("process.parent_death_signal", "%d", signal);
    say("process.subreaper", "%d", reaper);
    say("process.dumpable", "%d", prctl(PR_GET_DUMPABLE));
    say("process.securebits", "%d", prctl(PR_GET_SECUREBITS));
    say("process.keepcaps", "%d", prctl(PR_GET_KEEPCAPS));
    say("process.timerslack", "%d", prctl(PR_GET_TIMERSLACK));
    say("process.nice", "%d", getpriority(PRIO_PROCESS, 0));
    say("process.scheduler", "%d", sched_getscheduler(0));
    say("process.processors", "%ld", sysconf(_SC_NPROCESSORS_ONLN));
    say("process.mapping", "%p", mmap(NULL, 1 << 24, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    say_file("process.cgroup", "/proc/self/cgroup");
    say_file("process.oom_score_adj", "/proc/self/oom_score_adj");
    say_file("process.coredump_filter", "/proc/self/coredump_filter");
    tell_limits();
    const char *settings[] = {"net/ipv4/ip_unprivileged_port_start", "net/ipv4/ping_group_range",
                              "net/core/somaxconn", "kernel/overflowuid", "kernel/hostname",
                              "kernel/domainname", "kernel/core_pattern", "user/max_user_namespaces",
                              "kernel/shmmax", "kernel/pid_max"};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char file[128], key[128];
        snprintf(file, sizeof file, "/proc/sys/%s", settings[i]);
        snprintf(key, sizeof key, "sysctl.%s", settings[i]);
        say_file(key, file);
        snprintf(key, sizeof key, "sysctl.%s.write", settings[i]);
        int opened = open(file, O_WRONLY);
        outcome(key, opened);
        close(opened);
    }
}

void tell_environment(char **environment)
{
    int sorted = 1, count = 0;
    for (char **one = environment; *one; one++, count++) {
        if (one != environment && strcmp(one[-1], *one) > 0)
            sorted = 0;
        char *equals = strchr(*one, '=');
        char *key;
        if (asprintf(&key, "environment.%.*s", equals ? (int)(equals - *one) : 99, *one) < 0)
            abort();
        say(key, "%s", equals ? equals + 1 : "(no value)");
        free(key);
    }
    say("environment", "%s, %d", sorted ? "sorted" : "not sorted", count);
}
