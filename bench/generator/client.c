// Sockets and the loop: opens clients, reads what comes, cuts it into packets, writes what is collected.
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int epoll_fd;
static long opened;

// One for all clients: what stays in it after a read is at most a part of a packet, which moves to client->in.
static uint8_t scratch[1 << 20];

double now_seconds(void) { return (double)now_nanoseconds() * 1e-9; }

uint64_t now_nanoseconds(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000ull + (uint64_t)time.tv_nsec;
}

void fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fputc('\n', stderr);
  exit(1);
}

uint8_t *reserve(Buffer *buffer, size_t room) {
  if (buffer->end + room > buffer->capacity && buffer->start > 0) {
    memmove(buffer->bytes, buffer->bytes + buffer->start, buffer->end - buffer->start);
    buffer->end -= buffer->start;
    buffer->start = 0;
  }
  if (buffer->end + room > buffer->capacity) {
    if (buffer->capacity == 0) buffer->capacity = 256;
    while (buffer->end + room > buffer->capacity) buffer->capacity *= 2;
    buffer->bytes = realloc(buffer->bytes, buffer->capacity);
    if (buffer->bytes == NULL) fail("out of memory");
  }
  return buffer->bytes + buffer->end;
}

void append(Buffer *buffer, const void *bytes, size_t length) {
  memcpy(reserve(buffer, length), bytes, length);
  buffer->end += length;
}

void clients_begin(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  epoll_fd = epoll_create1(0);
}

static void watch(Client *client, int operation, bool for_room) {
  struct epoll_event event = {.events = EPOLLIN | (for_room ? EPOLLOUT : 0), .data.ptr = client};
  if (epoll_ctl(epoll_fd, operation, client->fd, &event) < 0) fail("epoll_ctl: %s", strerror(errno));
  client->waits_for_room = for_room;
}

// Source addresses are spread over 127/8: one address has ports for 28,000 connections only.
void client_open(Client *client) {
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (client->fd < 0) fail("socket: %s", strerror(errno));
  int on = 1;
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(client->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  struct sockaddr_in source = {.sin_family = AF_INET};
  uint32_t offset = ((uint32_t)(getpid() % 250 + 1) << 8) + 1 + (uint32_t)(opened++ / 5000 % 250);
  source.sin_addr.s_addr = htonl(0x7f000000u + offset);
  bind(client->fd, (struct sockaddr *)&source, sizeof source);
  struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
  inet_aton(options.host, &target.sin_addr);
  if (connect(client->fd, (struct sockaddr *)&target, sizeof target) < 0 && errno != EINPROGRESS)
    fail("connect to %s:%d: %s", options.host, options.port, strerror(errno));
  client->state = STATE_TCP;
  watch(client, EPOLL_CTL_ADD, true);
}

void client_close(Client *client) {
  carrier_close(client);
  close(client->fd);
  client->fd = -1;
  client->state = STATE_CLOSED;
  client->in.start = client->in.end = 0;
  client->out.start = client->out.end = 0;
  client->wire.start = client->wire.end = 0;
}

void client_flush(Client *client) {
  bool all = carrier_write(client);
  if (all == client->waits_for_room) watch(client, EPOLL_CTL_MOD, !all);
}

static void went_on(Client *client) {
  if (client->state == STATE_TCP) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) fail("connect to %s:%d: %s", options.host, options.port, strerror(error));
    carrier_open(client);
    client->state = STATE_CARRIER;
  }
  if (client->state != STATE_CARRIER) return;
  if (!carrier_handshake(client)) {
    client_flush(client);
    return;
  }
  client->state = STATE_CONNECT;
  send_connect(client);
  client_flush(client);
}

static size_t handle_packets(Client *client, uint8_t *bytes, size_t length) {
  uint64_t now_ns = now_nanoseconds();
  size_t done = 0;
  while (length - done >= 2) {
    size_t at = done + 1, remaining = 0;
    int shift = 0;
    bool whole = false;
    while (at < length && shift <= 21) {
      uint8_t byte = bytes[at++];
      remaining |= (size_t)(byte & 127) << shift;
      shift += 7;
      if (!(byte & 128)) {
        whole = true;
        break;
      }
    }
    if (!whole || at + remaining > length) break;
    handle_packet(client, bytes[done], bytes + at, remaining, now_ns);
    if (client->state == STATE_CLOSED) return length;
    done = at + remaining;
  }
  return done;
}

static void read_client(Client *client) {
  for (;;) {
    size_t kept = client->in.end;
    if (kept > 0) memcpy(scratch, client->in.bytes, kept);
    client->in.end = 0;
    size_t room = sizeof scratch - kept;
    ssize_t got = carrier_read(client, scratch + kept, room);
    if (got == 0) fail("the broker closed client %d of role %d", client->index, client->role);
    size_t length = kept + (got > 0 ? (size_t)got : 0);
    size_t done = got > 0 ? handle_packets(client, scratch, length) : 0;
    if (client->state == STATE_CLOSED) return;
    if (done < length) append(&client->in, scratch + done, length - done);
    if (got < 0 || ((size_t)got < room && client->tls == NULL)) break;
  }
  if (client->out.end > client->out.start) client_flush(client);
}

static double next_due(void) {
  double due = now_seconds() + 0.02;
  if (publishing && options.rate > 0)
    for (int index = 0; index < publisher_count; index++)
      if (publishers[index].in_flight < options.window && publishers[index].due < due) due = publishers[index].due;
  return due;
}

static void keep_alive(double now) {
  static double at;
  if (options.keepalive_seconds == 0) return;
  if (at == 0) at = now + options.keepalive_seconds / 2.0;
  if (now < at) return;
  at = now + options.keepalive_seconds / 2.0;
  for (int index = 0; index < publisher_count + options.subscribers; index++)
    if (publishers[index].state == STATE_CONNECTED) send_ping(&publishers[index]);
}

bool run_until(double end, bool (*done)(void)) {
  struct epoll_event events[512];
  for (;;) {
    if (done != NULL && done()) return true;
    double now = now_seconds();
    if (now >= end) return false;
    double wait = next_due() - now;
    if (wait > end - now) wait = end - now;
    struct timespec timeout = {.tv_nsec = wait > 0 ? (long)(wait * 1e9) : 0};
    int count = epoll_pwait2(epoll_fd, events, 512, &timeout, NULL);
    for (int index = 0; index < count; index++) {
      Client *client = events[index].data.ptr;
      if (client->state <= STATE_CARRIER) went_on(client);
      else {
        if (events[index].events & EPOLLOUT) client_flush(client);
        if (events[index].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) read_client(client);
      }
    }
    if (publishing && options.rate > 0)
      for (int index = 0; index < publisher_count; index++) publish_while_window(&publishers[index]);
    keep_alive(now);
  }
}

// Whoever started us ends a hold by closing our standard input.
bool stdin_closed(void) {
  struct pollfd input = {.fd = 0, .events = POLLIN};
  char byte;
  return poll(&input, 1, 0) > 0 && read(0, &byte, 1) <= 0;
}
