// MQTT: the packets that a load needs, and what follows from those that come back.
#include "load.h"

#include <string.h>
#include <unistd.h>

// SUBSCRIBE packets are kept below what brokers allow in one.
enum { FILTERS_PER_SUBSCRIBE = 100 };

static uint8_t *put_text(uint8_t *at, const char *text) {
  size_t length = strlen(text);
  *at++ = (uint8_t)(length >> 8);
  *at++ = (uint8_t)length;
  memcpy(at, text, length);
  return at + length;
}

static void put_header(Client *client, uint8_t first, size_t remaining) {
  uint8_t header[5];
  int length = 0;
  header[length++] = first;
  do {
    uint8_t digit = remaining % 128;
    remaining /= 128;
    header[length++] = digit | (remaining > 0 ? 128 : 0);
  } while (remaining > 0);
  append(&client->out, header, (size_t)length);
}

static void put_packet(Client *client, uint8_t first, const uint8_t *body, size_t length) {
  put_header(client, first, length);
  append(&client->out, body, length);
}

static void topic_of(char *topic, size_t room, int index) {
  switch (options.mode) {
  case MODE_PAIR: snprintf(topic, room, "%s/u/%d/inbox", options.topic_prefix, index); return;
  case MODE_FANIN: snprintf(topic, room, "%s/dev/%d/up", options.topic_prefix, index); return;
  default: snprintf(topic, room, "%s/room/main", options.topic_prefix);
  }
}

static void filter_of(char *filter, size_t room, Client *client, int number) {
  if (client->role == ROLE_HOLDER && options.inbox)
    snprintf(filter, room, "%s/%s/%d/#", options.topic_prefix, number == 0 ? "u" : "g",
             number == 0 ? client->index : client->index / 100);
  else if (client->role == ROLE_HOLDER && number % 2 == 0)
    snprintf(filter, room, "%s/h/%d/%d/+/#", options.topic_prefix, client->index, number);
  else if (client->role == ROLE_HOLDER)
    snprintf(filter, room, "%s/+/h%d-%d/#", options.topic_prefix, client->index, number);
  else if (options.mode == MODE_FANIN) snprintf(filter, room, "%s/dev/+/up", options.topic_prefix);
  else topic_of(filter, room, client->index);
}

void send_connect(Client *client) {
  static long logins;
  uint8_t body[512], *at = body;
  char text[128];
  bool keeps = options.persistent && client->role != ROLE_HOLDER;
  at = put_text(at, "MQTT");
  *at++ = (uint8_t)options.version;
  *at++ = (uint8_t)((keeps ? 0 : 2) | (options.user ? 0x80 : 0) | (options.password ? 0x40 : 0));
  *at++ = (uint8_t)(options.keepalive_seconds >> 8);
  *at++ = (uint8_t)options.keepalive_seconds;
  if (options.version == 5 && keeps) {
    const uint8_t expiry[] = {5, 0x11, 0, 0, 0x0e, 0x10};
    memcpy(at, expiry, sizeof expiry);
    at += sizeof expiry;
  } else if (options.version == 5) *at++ = 0;
  int number = options.mode == MODE_CONNECT ? (int)logins : client->index;
  // A session that is to be found again has the same id in each run.
  snprintf(text, sizeof text, "%s-%d-%c%d", options.client_prefix, keeps ? 0 : getpid(), "psh"[client->role], number);
  at = put_text(at, text);
  if (options.user != NULL) {
    if (options.users > 0) snprintf(text, sizeof text, "%s%ld", options.user, logins % options.users);
    else snprintf(text, sizeof text, "%s", options.user);
    at = put_text(at, text);
  }
  if (options.password != NULL) at = put_text(at, options.password);
  logins++;
  put_packet(client, 0x10, body, (size_t)(at - body));
}

void send_disconnect(Client *client) {
  append(&client->out, "\xe0\0", 2);
  client_flush(client);
}

void send_ping(Client *client) {
  append(&client->out, "\xc0\0", 2);
  client_flush(client);
}

static void send_subscribes(Client *client) {
  int filters = client->role == ROLE_HOLDER ? options.filters : 1;
  for (int first = 0; first < filters; first += FILTERS_PER_SUBSCRIBE) {
    uint8_t body[FILTERS_PER_SUBSCRIBE * 80], *at = body;
    *at++ = 0;
    *at++ = (uint8_t)(first / FILTERS_PER_SUBSCRIBE + 1);
    if (options.version == 5) *at++ = 0;
    for (int number = first; number < filters && number < first + FILTERS_PER_SUBSCRIBE; number++) {
      char filter[76];
      filter_of(filter, sizeof filter, client, number);
      at = put_text(at, filter);
      *at++ = (uint8_t)options.subscription_qos;
    }
    put_packet(client, 0x82, body, (size_t)(at - body));
    client->subscribes_open++;
  }
  if (filters == 0) client->subscribed = true, counters.subscribed++;
  client_flush(client);
}

// The payload begins with the time and the number of the publisher.
static void put_publish(Client *client, uint64_t stamp) {
  static const char property[13] = "\x26\0\4name\0\4valu";
  char topic[200];
  topic_of(topic, sizeof topic, client->index);
  size_t properties = (size_t)options.user_properties * sizeof property;
  size_t remaining = 2 + strlen(topic) + (options.qos ? 2 : 0) + (size_t)options.payload_bytes;
  if (options.version == 5) remaining += 1 + properties;
  put_header(client, (uint8_t)(0x30 | options.qos << 1), remaining);
  uint8_t *body = reserve(&client->out, remaining), *at = put_text(body, topic);
  if (options.qos > 0) {
    if (++client->packet_id == 0) client->packet_id = 1;
    *at++ = (uint8_t)(client->packet_id >> 8);
    *at++ = (uint8_t)client->packet_id;
  }
  if (options.version == 5) {
    *at++ = (uint8_t)properties;
    for (int number = 0; number < options.user_properties; number++, at += sizeof property)
      memcpy(at, property, sizeof property);
  }
  memset(at, 'x', (size_t)options.payload_bytes);
  memcpy(at, &stamp, 8);
  int32_t index = client->index;
  memcpy(at + 8, &index, 4);
  client->out.end += remaining;
  client->in_flight++;
  counters.published++;
}

// Each publisher has at most a window of messages under way, so that no broker is measured by how much it buffers.
// A paced message bears the time at which it was due: what a busy broker held up counts as latency.
void publish_while_window(Client *client) {
  if (!publishing || client->state != STATE_CONNECTED) return;
  if (options.by_halves && client->in_flight > options.window / 2) return;
  bool any = false;
  while (client->in_flight < options.window) {
    if (options.count > 0 && counters.published >= (uint64_t)options.count) break;
    uint64_t stamp = now_nanoseconds();
    if (options.rate > 0) {
      if (client->due * 1e9 > (double)stamp) break;
      stamp = (uint64_t)(client->due * 1e9);
      client->due += 1 / options.rate;
    }
    put_publish(client, stamp);
    any = true;
  }
  if (any) client_flush(client);
}

// QoS 0 has no acknowledgement: a message is no longer under way when each of its receivers has it.
static void count_delivery(int index) {
  if (options.qos > 0 || index < 0 || index >= publisher_count) return;
  Client *publisher = &publishers[index];
  int receivers = options.mode == MODE_PAIR ? 1 : options.subscribers;
  if (++publisher->shortfall < receivers) return;
  publisher->shortfall -= receivers;
  if (publisher->in_flight > 0) publisher->in_flight--;
  publish_while_window(publisher);
}

static void handle_publish(Client *client, uint8_t first, uint8_t *body, size_t length, uint64_t now_ns) {
  int qos = first >> 1 & 3;
  uint8_t *at = body + 2 + (body[0] << 8 | body[1]);
  if (qos > 0) {
    uint8_t acknowledgement[4] = {qos == 1 ? 0x40 : 0x50, 2, at[0], at[1]};
    append(&client->out, acknowledgement, 4);
    at += 2;
  }
  if (options.version == 5) {
    size_t properties = 0;
    int shift = 0;
    do {
      properties |= (size_t)(*at & 127) << shift;
      shift += 7;
    } while (*at++ & 128);
    at += properties;
  }
  counters.delivered++;
  if ((size_t)(body + length - at) < 12) return;
  uint64_t stamp;
  int32_t index;
  memcpy(&stamp, at, 8);
  memcpy(&index, at + 8, 4);
  if (measuring) record_latency(now_ns > stamp ? now_ns - stamp : 0);
  count_delivery(index);
}

static void handle_connack(Client *client, uint8_t *body) {
  if (body[1] != 0) fail("CONNECT was refused with %d", body[1]);
  client->state = STATE_CONNECTED;
  counters.connected++;
  if (options.mode == MODE_CONNECT) {
    send_disconnect(client);
    client_close(client);
    if (publishing) client_open(client);
    return;
  }
  if (client->role != ROLE_PUBLISHER && options.mode != MODE_READ) send_subscribes(client);
}

static void handle_suback(Client *client, uint8_t *body, size_t length) {
  size_t at = 2 + (options.version == 5 ? 1 + (size_t)body[2] : 0);
  for (; at < length; at++)
    if (body[at] & 0x80) fail("SUBSCRIBE was refused with %d", body[at]);
  if (--client->subscribes_open > 0) return;
  client->subscribed = true;
  counters.subscribed++;
}

void handle_packet(Client *client, uint8_t first, uint8_t *body, size_t length, uint64_t now_ns) {
  switch (first >> 4) {
  case 2: handle_connack(client, body); return;
  case 3: handle_publish(client, first, body, length, now_ns); return;
  case 4:
    counters.acknowledged++;
    client->in_flight--;
    publish_while_window(client);
    return;
  case 9: handle_suback(client, body, length); return;
  case 13: return;
  case 14: fail("the broker disconnected client %d of role %d", client->index, client->role);
  default: fail("a packet of type %d came", first >> 4);
  }
}
