// What carries MQTT: plain TCP, TLS (with OpenSSL, when compiled with WITH_TLS), WebSocket, or WebSocket over TLS.
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static ssize_t failed_with(const char *what) {
  if (errno == EAGAIN || errno == EWOULDBLOCK) return -1;
  fail("%s: %s", what, strerror(errno));
}

#ifdef WITH_TLS
#include <openssl/err.h>
#include <openssl/ssl.h>

static SSL *tls_of(Client *client) { return client->tls; }

static void tls_open(Client *client) {
  static SSL_CTX *context;
  if (context == NULL) {
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  }
  client->tls = SSL_new(context);
  SSL_set_fd(tls_of(client), client->fd);
  SSL_set_connect_state(tls_of(client));
}

static ssize_t tls_result(Client *client, int result) {
  if (result > 0) return result;
  int error = SSL_get_error(tls_of(client), result);
  ERR_clear_error();
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return -1;
  if (error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL) return 0;
  fail("TLS error %d", error);
}

static bool tls_handshake(Client *client) {
  ssize_t result = tls_result(client, SSL_do_handshake(tls_of(client)));
  if (result == 0) fail("the broker ended the TLS handshake");
  return result > 0;
}
static ssize_t tls_read(Client *client, void *into, size_t room) {
  return tls_result(client, SSL_read(tls_of(client), into, (int)room));
}
static ssize_t tls_write(Client *client, const void *bytes, size_t length) {
  return tls_result(client, SSL_write(tls_of(client), bytes, (int)length));
}
static void tls_close(Client *client) { SSL_free(tls_of(client)); }
#else
static void tls_open(Client *client) {
  (void)client;
  fail("this generator was built without TLS; install libssl-dev");
}
static bool tls_handshake(Client *client) { return client == NULL; }
static ssize_t tls_read(Client *client, void *into, size_t room) { return client && into && room ? 0 : 0; }
static ssize_t tls_write(Client *client, const void *bytes, size_t length) { return client && bytes && length ? 0 : 0; }
static void tls_close(Client *client) { (void)client; }
#endif

static ssize_t raw_read(Client *client, void *into, size_t room) {
  if (client->tls != NULL) return tls_read(client, into, room);
  ssize_t got = read(client->fd, into, room);
  return got < 0 ? failed_with("read") : got;
}

static ssize_t raw_write(Client *client, const void *bytes, size_t length) {
  if (client->tls != NULL) return tls_write(client, bytes, length);
  ssize_t written = send(client->fd, bytes, length, MSG_NOSIGNAL);
  return written < 0 ? failed_with("write") : written;
}

// Sends what is in the buffer; false: not all of it went.
static bool raw_flush(Client *client, Buffer *buffer) {
  while (buffer->start < buffer->end) {
    ssize_t written = raw_write(client, buffer->bytes + buffer->start, buffer->end - buffer->start);
    if (written <= 0) return false;
    buffer->start += (size_t)written;
  }
  buffer->start = buffer->end = 0;
  return true;
}

void carrier_open(Client *client) {
  client->upgraded = false;
  client->frame_header_length = 0;
  client->frame_left = 0;
  if (options.tls) tls_open(client);
  if (options.websocket_path == NULL) return;
  char request[512];
  int length = snprintf(request, sizeof request,
                        "GET %s HTTP/1.1\r\nHost: %s:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Protocol: mqtt\r\n\r\n",
                        options.websocket_path, options.host, options.port);
  append(&client->wire, request, (size_t)length);
}

bool carrier_handshake(Client *client) {
  if (client->tls != NULL && !tls_handshake(client)) return false;
  if (options.websocket_path == NULL || client->upgraded) return true;
  if (!raw_flush(client, &client->wire)) return false;
  // A server sends nothing after its answer before it has our CONNECT.
  ssize_t got = raw_read(client, reserve(&client->in, 4096), 4095);
  if (got == 0) fail("the WebSocket upgrade was refused");
  if (got < 0) return false;
  client->in.end += (size_t)got;
  client->in.bytes[client->in.end] = 0;
  const char *answer = (const char *)client->in.bytes;
  if (strstr(answer, "\r\n\r\n") == NULL) return false;
  if (strncmp(answer, "HTTP/1.1 101", 12) != 0) fail("the WebSocket upgrade was answered: %.40s", answer);
  client->in.start = client->in.end = 0;
  client->upgraded = true;
  return true;
}

// Takes the frame headers out, in place; what is left is MQTT. Control frames are skipped.
static ssize_t unframe(Client *client, uint8_t *bytes, size_t length) {
  size_t from = 0, to = 0;
  while (from < length) {
    if (client->frame_left > 0) {
      size_t part = length - from < client->frame_left ? length - from : (size_t)client->frame_left;
      bool data = (client->frame_header[0] & 15) <= 2;
      if (data) memmove(bytes + to, bytes + from, part);
      if (data) to += part;
      from += part;
      client->frame_left -= part;
      continue;
    }
    uint8_t *header = client->frame_header;
    header[client->frame_header_length++] = bytes[from++];
    if (client->frame_header_length < 2) continue;
    int wanted = header[1] == 126 ? 4 : header[1] == 127 ? 10 : 2;
    if (client->frame_header_length < wanted) continue;
    if ((header[0] & 15) == 8) fail("the broker closed the WebSocket of client %d", client->index);
    client->frame_left = wanted == 2 ? header[1] : 0;
    for (int index = 2; index < wanted; index++) client->frame_left = client->frame_left << 8 | header[index];
    client->frame_header_length = 0;
  }
  return to > 0 ? (ssize_t)to : -1;
}

ssize_t carrier_read(Client *client, uint8_t *into, size_t room) {
  ssize_t got = raw_read(client, into, room);
  if (got <= 0 || options.websocket_path == NULL) return got;
  return unframe(client, into, (size_t)got);
}

// All that is collected becomes one binary frame, masked as a client must (RFC 6455, 5.3).
static void frame(Client *client) {
  static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
  size_t length = client->out.end - client->out.start;
  uint8_t *at = reserve(&client->wire, length + 14), *begin = at;
  *at++ = 0x82;
  if (length < 126) *at++ = (uint8_t)(0x80 | length);
  else if (length < 65536) {
    *at++ = 0x80 | 126;
    *at++ = (uint8_t)(length >> 8);
    *at++ = (uint8_t)length;
  } else {
    *at++ = 0x80 | 127;
    for (int shift = 56; shift >= 0; shift -= 8) *at++ = (uint8_t)((uint64_t)length >> shift);
  }
  memcpy(at, mask, 4);
  at += 4;
  for (size_t index = 0; index < length; index++) *at++ = client->out.bytes[client->out.start + index] ^ mask[index & 3];
  client->wire.end += (size_t)(at - begin);
  client->out.start = client->out.end = 0;
}

bool carrier_write(Client *client) {
  // The handshake is driven by what the broker answers.
  if (client->state == STATE_CARRIER) return true;
  if (options.websocket_path == NULL) return raw_flush(client, &client->out);
  if (client->wire.end > client->wire.start && !raw_flush(client, &client->wire)) return false;
  if (client->out.end > client->out.start) frame(client);
  return raw_flush(client, &client->wire);
}

void carrier_close(Client *client) {
  if (client->tls != NULL) tls_close(client);
  client->tls = NULL;
}
