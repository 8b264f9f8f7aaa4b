/* A server that answers every request with the same 200, as fast as one thread can: the ceiling of the generators.
   cc -O2 -o echo echo.c && ./echo PORT
   It counts a request by its head and the Content-Length in it, and keeps no state but the bytes still to skip. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 4096
#define SIZE 65536

struct peer {
    size_t held, skip;
    char bytes[SIZE];
};

static struct peer *peers[MOST];
static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n"
                             "{\"outputs\":[{\"name\":\"x\",\"data\":[1]}]}";

/* Answers every whole request in the buffer; gives -1 when the connection cannot go on. */
static int serve(int fd, struct peer *p) {
    size_t start = 0;
    while (start < p->held) {
        if (p->skip) {
            size_t part = p->held - start < p->skip ? p->held - start : p->skip;
            start += part;
            p->skip -= part;
            if (!p->skip && write(fd, ANSWER, sizeof ANSWER - 1) < 0) return -1;
            continue;
        }
        char *end = memmem(p->bytes + start, p->held - start, "\r\n\r\n", 4);
        if (!end) break;
        size_t length = 0;
        for (char *line = p->bytes + start; line < end; line++)
            if (*line == '\n' && !strncasecmp(line + 1, "content-length:", 15)) length = strtoul(line + 16, 0, 10);
        start = (size_t)(end + 4 - p->bytes);
        p->skip = length;
        if (!length && write(fd, ANSWER, sizeof ANSWER - 1) < 0) return -1;
    }
    p->held -= start;
    memmove(p->bytes, p->bytes + start, p->held);
    return p->held == SIZE ? -1 : 0;
}

int main(int argc, char **argv) {
    int one = 1, door = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    at.sin_port = htons((unsigned short)atoi(argc > 1 ? argv[1] : "0"));
    setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(door, (struct sockaddr *)&at, sizeof at) || listen(door, 1024)) return 1;
    struct epoll_event wish = {.events = EPOLLIN, .data.fd = door}, came[256];
    epoll_ctl(poll, EPOLL_CTL_ADD, door, &wish);
    for (;;) {
        int count = epoll_wait(poll, came, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = came[i].data.fd;
            if (fd == door) {
                int made = accept(door, 0, 0);
                if (made < 0 || made >= MOST) continue;
                setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                peers[made] = calloc(1, sizeof **peers);
                wish.data.fd = made;
                epoll_ctl(poll, EPOLL_CTL_ADD, made, &wish);
                continue;
            }
            struct peer *p = peers[fd];
            ssize_t got = read(fd, p->bytes + p->held, SIZE - p->held);
            if (got > 0) p->held += (size_t)got;
            if (got <= 0 || serve(fd, p)) {
                close(fd);
                free(p);
            }
        }
    }
}
