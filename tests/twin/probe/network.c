/* What the process sees of the network, and what sockets it may have. */
#include "probe.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* HOST_SOCKET: the name of an abstract socket of the host, given when this is compiled. */

static int ascending(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The lines of a file of /proc/net, sorted; from some only what stays while nothing is changed. */
static void tell_lines(const char *name, int words)
{
    char path[64], key[64], *lines[4096], *line;
    int count = 0;
    snprintf(path, sizeof path, "/proc/net/%s", name);
    char *text = contents(path, NULL), *rest = text;
    while (rest && count < 4096 && (line = strsep(&rest, "\n")))
        if (*line)
            lines[count++] = line;
    qsort(lines, count, sizeof *lines, ascending);
    for (int i = 0; i < count; i++) {
        char *end = lines[i];
        for (int word = 0; word < words && *end; word++)
            end += strcspn(end + strspn(end, " \t"), " \t") + strspn(end, " \t");
        snprintf(key, sizeof key, "net.%s.%d", name, i);
        say(key, "%.*s", (int)(end - lines[i]), lines[i]);
    }
    free(text);
}

static void tell_interfaces(void)
{
    struct ifaddrs *all;
    if (getifaddrs(&all) < 0)
        return outcome("net.interfaces", -1);
    for (struct ifaddrs *one = all; one; one = one->ifa_next) {
        char key[128], text[INET6_ADDRSTRLEN] = "link";
        int family = one->ifa_addr ? one->ifa_addr->sa_family : 0;
        if (family == AF_INET)
            inet_ntop(AF_INET, &((struct sockaddr_in *)one->ifa_addr)->sin_addr, text, sizeof text);
        if (family == AF_INET6)
            inet_ntop(AF_INET6, &((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr, text, sizeof text);
        snprintf(key, sizeof key, "net.interface.%s %s", one->ifa_name, text);
        say(key, "flags %#x", one->ifa_flags);
    }
    freeifaddrs(all);
}

void tell_network(void)
{
    tell_interfaces();
    tell_lines("route", 3);
    tell_lines("ipv6_route", 2);
    tell_lines("if_inet6", 6);
}

static void try_kind(const char *key, int family, int type, int protocol)
{
    int made = socket(family, type, protocol);
    outcome(key, made);
    close(made);
}

static int named(struct sockaddr_un *address, const char *name)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path + 1, name, strlen(name));
    return offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name);
}

static void try_abstract(void)
{
    struct sockaddr_un address;
    int length = named(&address, "of the build");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    outcome("socket.abstract.bind", bind(listener, (void *)&address, length));
    listen(listener, 1);
    outcome("socket.abstract.connect", connect(other, (void *)&address, length));
    close(listener);
    close(other);
    length = named(&address, HOST_SOCKET);
    other = socket(AF_UNIX, SOCK_STREAM, 0);
    outcome("socket.abstract.of the host", connect(other, (void *)&address, length));
    close(other);
}

static void try_port(const char *key, int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int made = socket(AF_INET, SOCK_STREAM, 0);
    outcome(key, bind(made, (void *)&address, sizeof address));
    close(made);
}

void try_sockets(void)
{
    try_kind("socket.inet", AF_INET, SOCK_STREAM, 0);
    try_kind("socket.inet6", AF_INET6, SOCK_STREAM, 0);
    try_kind("socket.raw", AF_INET, SOCK_RAW, IPPROTO_ICMP);
    try_kind("socket.packet", AF_PACKET, SOCK_RAW, 0);
    try_kind("socket.ping", AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    try_kind("socket.netlink", AF_NETLINK, SOCK_RAW, 0);
    try_port("socket.bind.80", 80);
    try_port("socket.bind.any", 0);
    try_abstract();
    struct sockaddr_in away = {.sin_family = AF_INET, .sin_port = htons(9)};
    inet_pton(AF_INET, "192.0.2.1", &away.sin_addr);
    int made = socket(AF_INET, SOCK_DGRAM, 0);
    outcome("socket.route to elsewhere", connect(made, (void *)&away, sizeof away));
    close(made);
}
