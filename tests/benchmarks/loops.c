/*
 * The client's inner loops, in C: in Python they would cost more than fast servers.
 *
 * Compiled on first use by native.py, which says what each function is for.  A negative
 * result is a failure: -1 of the connection, -2 a refusal, -3 what is no response.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY (1 << 20)
#define END "\r\n.\r\n"
#define END_LENGTH 5

static __thread char *buffer;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static int send_all(int socket, const char *octets, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(socket, octets, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            return -1;
        if (sent > 0) {
            octets += sent;
            length -= (size_t)sent;
        }
    }
    return 0;
}

/* Receive into the buffer from `have` on; acknowledge at once if so wanted. */
static ssize_t receive(int socket, size_t have, int quickack)
{
    ssize_t count;
    if (buffer == NULL && (buffer = malloc(CAPACITY)) == NULL)
        return -1;
    /* The kernel forgets this after each use. */
    if (quickack)
        setsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &quickack, sizeof quickack);
    /* A signal ends it: Python, to which this returns, has to see to that. */
    count = recv(socket, buffer + have, CAPACITY - have, 0);
    return count > 0 ? count : -1;
}

long long response(int socket, const char *command, int length, int quickack,
                   long long target, double *reached, double *ended)
{
    double begun = now();
    long long total = 0, head = 0;
    char tail[2 * END_LENGTH];
    size_t kept = 0;
    *reached = *ended = -1;
    if (send_all(socket, command, (size_t)length))
        return -1;
    for (;;) {
        ssize_t count = receive(socket, 0, quickack);
        if (count < 0)
            return -1;
        if (total == 0 && buffer[0] != '+')
            return -2;
        if (head == 0) {
            char *line = memchr(buffer, '\n', (size_t)count);
            if (line != NULL)
                head = total + (line - buffer) + 1;
        }
        total += count;
        if (head > 0 && target > 0 && *reached < 0 && total - head >= target) {
            *reached = now() - begun;
            return total;
        }
        if (count >= END_LENGTH) {
            memcpy(tail, buffer + count - END_LENGTH, END_LENGTH);
            kept = END_LENGTH;
        } else {
            memcpy(tail + kept, buffer, (size_t)count);
            kept += (size_t)count;
            if (kept > END_LENGTH) {
                memmove(tail, tail + kept - END_LENGTH, END_LENGTH);
                kept = END_LENGTH;
            }
        }
        if (kept == END_LENGTH && memcmp(tail, END, END_LENGTH) == 0) {
            *ended = now() - begun;
            return total;
        }
    }
}

long long sequence(int socket, int count, int window, int quickack, double *ended)
{
    double begun = now();
    char commands[32 * 256];
    int sent = 0, done = 0;
    size_t have = 0;
    long long total = 0;
    if (window > 256)
        window = 256;
    while (done < count) {
        if (sent < count && sent - done <= window / 2) {
            size_t length = 0;
            while (sent < count && sent - done < window)
                length += (size_t)sprintf(commands + length, "RETR %d\r\n", ++sent);
            if (send_all(socket, commands, length))
                return -1;
        }
        ssize_t received = receive(socket, have, quickack);
        if (received < 0)
            return -1;
        /* An end may begin in what was looked through before. */
        size_t from = have > END_LENGTH ? have - END_LENGTH : 0, start = 0;
        total += received;
        have += (size_t)received;
        for (;;) {
            if (start < have && buffer[start] != '+')
                return -2;
            char *end = memmem(buffer + from, have - from, END, END_LENGTH);
            if (end == NULL)
                break;
            start = from = (size_t)(end - buffer) + END_LENGTH;
            done++;
        }
        have -= start;
        memmove(buffer, buffer + start, have);
        if (have == CAPACITY)
            return -3;
    }
    *ended = now() - begun;
    return have == 0 ? total : -3;
}

/* Greeting, USER, PASS, STAT, QUIT: what a session has been answered so far. */
struct session {
    int socket, answered, have, user;
    char line[512];
};

static int begin(struct session *session, int epoll, int slot, int port, int user)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)slot};
    int one = 1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    session->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    session->answered = session->have = 0;
    session->user = user;
    setsockopt(session->socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(session->socket, (struct sockaddr *)&address, sizeof address) < 0
        && errno != EINPROGRESS)
        return -1;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, session->socket, &event);
}

/* Go on with what has come: 1 when the server has hung up after QUIT. */
static int go_on(struct session *session)
{
    for (;;) {
        ssize_t count = recv(session->socket, session->line + session->have,
                             sizeof session->line - (size_t)session->have, 0);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            return 0;
        if (count <= 0)
            return session->answered == 5 ? 1 : -1;
        session->have += (int)count;
        char *end;
        while ((end = memchr(session->line, '\n', (size_t)session->have)) != NULL) {
            char command[64];
            int length = 0, used = (int)(end - session->line) + 1;
            if (session->line[0] != '+')
                return -2;
            session->have -= used;
            memmove(session->line, end + 1, (size_t)session->have);
            switch (session->answered++) {
            case 0: length = sprintf(command, "USER u%d\r\n", session->user); break;
            case 1: length = sprintf(command, "PASS secret\r\n"); break;
            case 2: length = sprintf(command, "STAT\r\n"); break;
            case 3: length = sprintf(command, "QUIT\r\n"); break;
            }
            if (length > 0 && send_all(session->socket, command, (size_t)length))
                return -1;
        }
        if (session->have == sizeof session->line)
            return -3;
    }
}

int sessions(int port, int at_once, int total, int users, double *ended)
{
    struct session *all = calloc((size_t)at_once, sizeof *all);
    struct epoll_event events[64];
    int epoll = epoll_create1(0), begun = 0, done = 0, result = 0;
    double start = now();
    while (begun < at_once && begun < total) {
        if ((result = begin(&all[begun], epoll, begun, port, begun % users)) < 0)
            break;
        begun++;
    }
    while (result >= 0 && done < total) {
        int ready = epoll_wait(epoll, events, 64, 20000);
        if (ready <= 0) {
            result = -1;
            break;
        }
        for (int each = 0; each < ready && result >= 0; each++) {
            int slot = (int)events[each].data.u32;
            result = go_on(&all[slot]);
            if (result != 1)
                continue;
            close(all[slot].socket);
            all[slot].socket = -1;
            done++;
            if (begun < total) {
                result = begin(&all[slot], epoll, slot, port, begun % users);
                begun++;
            }
        }
    }
    *ended = now() - start;
    for (int slot = 0; slot < at_once; slot++)
        if (all[slot].socket > 0)
            close(all[slot].socket);
    close(epoll);
    free(all);
    return result < 0 ? result : done;
}
