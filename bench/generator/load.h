// What the parts of the load generator share: an epoll loop with many MQTT clients in one thread, small enough not to be
// the bottleneck. `main.c` reads the options and runs the modes, `client.c` moves bytes, `packets.c` speaks MQTT,
// `carrier.c` wraps TLS and WebSocket around it, `figures.c` counts.
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

typedef enum { MODE_PAIR, MODE_FANOUT, MODE_FANIN, MODE_CONNECT, MODE_HOLD, MODE_MEMBERS, MODE_READ } Mode;

typedef struct {
  const char *host;
  int port;
  Mode mode;
  int publishers;
  int subscribers;
  int qos;
  int subscription_qos;
  int payload_bytes;
  int window;
  double seconds;
  double warmup_seconds;
  double rate; // messages a second of each publisher; 0: as fast as the window allows
  long count;  // stop after this many acknowledged (publishers) or delivered (a reader); 0: after `seconds`
  bool persistent;
  bool publish_only;
  int version; // protocol level: 4 or 5
  int user_properties;
  const char *user;
  const char *password;
  int users; // more than 0: clients log in as USER0, USER1 …, in turn
  const char *topic_prefix;
  const char *client_prefix;
  const char *websocket_path; // NULL: no WebSocket
  bool tls;
  bool one_by_one; // each connects when the one before has; whoever hands them out in turn does so exactly
  bool by_halves;  // a publisher waits until half of its window is free, and fills it in one write
  int filters; // of each client that is only held
  bool inbox;  // these are its own inbox and the room of a hundred, as in a chat; else wildcards of all kinds
  int keepalive_seconds;
  int broker_pid; // 0: its CPU time is not reported
  int broker_core;
  int own_core;
} Options;

extern Options options;

// Bytes from `start` to `end` are in use.
typedef struct {
  uint8_t *bytes;
  size_t start;
  size_t end;
  size_t capacity;
} Buffer;

typedef enum { ROLE_PUBLISHER, ROLE_SUBSCRIBER, ROLE_HOLDER } Role;

typedef enum {
  STATE_CLOSED,
  STATE_TCP,       // connect() is under way
  STATE_CARRIER,   // TLS or WebSocket handshake
  STATE_CONNECT,   // CONNECT is sent
  STATE_CONNECTED, // CONNACK came
} State;

typedef struct {
  int fd;
  Role role;
  int index;
  State state;
  bool waits_for_room; // the socket took no more: epoll tells when it does
  Buffer in;           // a packet that has not come whole
  Buffer out;          // MQTT bytes to send
  Buffer wire;         // the same, framed for WebSocket
  void *tls;
  bool upgraded; // the WebSocket answer came
  uint8_t frame_header[10];
  int frame_header_length;
  uint64_t frame_left;
  int subscribes_open; // SUBSCRIBE packets without SUBACK
  bool subscribed;
  int in_flight;
  uint16_t packet_id;
  double due; // when the next paced message is to be sent
  int shortfall; // QoS 0: deliveries counted towards the oldest undelivered message
} Client;

typedef struct {
  uint64_t connected;
  uint64_t subscribed;
  uint64_t published;
  uint64_t acknowledged;
  uint64_t delivered;
} Counters;

extern Counters counters;
extern Client *publishers;
extern int publisher_count;
extern bool publishing; // publishers send
extern bool measuring;  // latencies are kept

// client.c
double now_seconds(void);
uint64_t now_nanoseconds(void);
__attribute__((noreturn)) void fail(const char *format, ...);
uint8_t *reserve(Buffer *buffer, size_t room);
void append(Buffer *buffer, const void *bytes, size_t length);
void clients_begin(void);
void client_open(Client *client);
void client_flush(Client *client);
void client_close(Client *client);
// Runs the loop until `done` says so (NULL: never) or the time is over; true: `done` said so.
bool run_until(double end, bool (*done)(void));
bool stdin_closed(void);

// packets.c
void send_connect(Client *client);
void send_disconnect(Client *client);
void send_ping(Client *client);
void handle_packet(Client *client, uint8_t first, uint8_t *body, size_t length, uint64_t now_ns);
void publish_while_window(Client *publisher);

// carrier.c
void carrier_open(Client *client);
// True when MQTT may be spoken.
bool carrier_handshake(Client *client);
// MQTT bytes; 0: closed by the broker; -1: nothing now.
ssize_t carrier_read(Client *client, uint8_t *into, size_t room);
// As write(2) on the next bytes of client->out; moves its start. False: the socket takes no more now.
bool carrier_write(Client *client);
void carrier_close(Client *client);

// figures.c
void record_latency(uint64_t nanoseconds);
double latency_us(double part);
typedef struct {
  double at;
  double broker_cpu;
  double own_cpu;
  double broker_core_busy;
  double own_core_busy;
  Counters counters;
} Mark;
Mark mark(void);
void print_figures(const Mark *from, const Mark *to);

#endif
