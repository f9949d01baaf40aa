// The load generator: reads the options, runs one mode, prints one line of JSON.
//
//   pair     each publisher has a topic of its own with one subscriber
//   fanout   the publishers share one topic with all subscribers
//   fanin    each publisher has a topic of its own, the subscribers a wildcard over all
//   connect  log in and leave, over and over; every user has been there once before the measuring begins
//   hold     connections with `--filters` filters each, until standard input is closed
//   members  persistent sessions subscribe to the topic of fanout and leave
//   read     the first of these members comes back and reads `--count` messages
#include "load.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

Options options = {
    .host = "127.0.0.1",
    .port = 1883,
    .publishers = 1,
    .subscribers = 1,
    .subscription_qos = -1,
    .payload_bytes = 64,
    .window = 50,
    .seconds = 4,
    .warmup_seconds = 1,
    .version = 4,
    .topic_prefix = "bench",
    .client_prefix = "load",
};
Counters counters;
Client *publishers;
int publisher_count;
bool publishing;
bool measuring;

static int client_count;

static Mode mode_of(const char *name) {
  static const char *names[] = {"pair", "fanout", "fanin", "connect", "hold", "members", "read"};
  for (int index = 0; index < 7; index++)
    if (strcmp(names[index], name) == 0) return (Mode)index;
  fail("no mode \"%s\"", name);
}

static void read_options(int argc, char **argv) {
  static const struct option known[] = {
      {"host", 1, 0, 'h'},          {"port", 1, 0, 'p'},         {"mode", 1, 0, 'm'},       {"publishers", 1, 0, 'P'},
      {"subscribers", 1, 0, 'S'},   {"qos", 1, 0, 'q'},          {"payload", 1, 0, 's'},    {"window", 1, 0, 'W'},
      {"seconds", 1, 0, 't'},       {"warmup", 1, 0, 'w'},       {"rate", 1, 0, 'r'},       {"count", 1, 0, 'n'},
      {"persistent", 0, 0, 'c'},    {"publish-only", 0, 0, 'o'}, {"version", 1, 0, 'V'},    {"user-properties", 1, 0, 'U'},
      {"user", 1, 0, 'u'},          {"password", 1, 0, 'k'},     {"users", 1, 0, 'N'},      {"topic-prefix", 1, 0, 'x'},
      {"client-prefix", 1, 0, 'i'}, {"websocket", 1, 0, 'b'},    {"tls", 0, 0, 'T'},        {"filters", 1, 0, 'F'},
      {"keepalive", 1, 0, 'K'},     {"broker-pid", 1, 0, 'B'},   {"broker-core", 1, 0, 'C'}, {"own-core", 1, 0, 'O'},
      {"inbox", 0, 0, 'I'},         {"subscription-qos", 1, 0, 'Q'}, {"one-by-one", 0, 0, '1'},
      {"by-halves", 0, 0, 'H'},     {0, 0, 0, 0},
  };
  int letter;
  while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
    switch (letter) {
    case 'h': options.host = optarg; break;
    case 'p': options.port = atoi(optarg); break;
    case 'm': options.mode = mode_of(optarg); break;
    case 'P': options.publishers = atoi(optarg); break;
    case 'S': options.subscribers = atoi(optarg); break;
    case 'q': options.qos = atoi(optarg); break;
    case 'Q': options.subscription_qos = atoi(optarg); break;
    case 's': options.payload_bytes = atoi(optarg); break;
    case 'W': options.window = atoi(optarg); break;
    case 't': options.seconds = atof(optarg); break;
    case 'w': options.warmup_seconds = atof(optarg); break;
    case 'r': options.rate = atof(optarg); break;
    case 'n': options.count = atol(optarg); break;
    case 'c': options.persistent = true; break;
    case 'o': options.publish_only = true; break;
    case 'V': options.version = atoi(optarg); break;
    case 'U': options.user_properties = atoi(optarg); break;
    case 'u': options.user = optarg; break;
    case 'k': options.password = optarg; break;
    case 'N': options.users = atoi(optarg); break;
    case 'x': options.topic_prefix = optarg; break;
    case 'i': options.client_prefix = optarg; break;
    case 'b': options.websocket_path = optarg; break;
    case 'T': options.tls = true; break;
    case 'I': options.inbox = true; break;
    case '1': options.one_by_one = true; break;
    case 'H': options.by_halves = true; break;
    case 'F': options.filters = atoi(optarg); break;
    case 'K': options.keepalive_seconds = atoi(optarg); break;
    case 'B': options.broker_pid = atoi(optarg); break;
    case 'C': options.broker_core = atoi(optarg); break;
    case 'O': options.own_core = atoi(optarg); break;
    default: exit(2);
    }
  }
  if (options.subscription_qos < 0) options.subscription_qos = options.qos;
  if (options.payload_bytes < 12) options.payload_bytes = 12;
  if (options.mode == MODE_PAIR) options.subscribers = options.publishers;
  if (options.publish_only) options.subscribers = 0;
  if (options.publish_only && options.qos == 0) fail("without subscribers only QoS 1 tells what arrived");
  if (options.mode >= MODE_CONNECT) options.publishers = 0;
  if (options.mode == MODE_MEMBERS || options.mode == MODE_READ) options.persistent = true;
  if (options.mode == MODE_READ) options.subscribers = 1;
}

static int connect_goal;
static bool all_connected(void) { return counters.connected >= (uint64_t)connect_goal; }
static bool all_subscribed(void) { return counters.subscribed >= (uint64_t)options.subscribers; }
static bool all_counted(void) {
  return (options.mode == MODE_READ ? counters.delivered : counters.acknowledged) >= (uint64_t)options.count;
}

static void make_clients(void) {
  publisher_count = options.publishers;
  client_count = options.publishers + options.subscribers;
  publishers = calloc((size_t)client_count, sizeof *publishers);
  if (publishers == NULL) fail("out of memory");
  for (int index = 0; index < client_count; index++) {
    Client *client = &publishers[index];
    client->fd = -1;
    bool publishes = index < publisher_count;
    client->role = publishes ? ROLE_PUBLISHER : options.mode == MODE_HOLD ? ROLE_HOLDER : ROLE_SUBSCRIBER;
    client->index = publishes ? index : index - publisher_count;
  }
}

// Some at a time: a listener holds only so many that nobody has accepted.
static void open_all(void) {
  for (int index = 0; index < client_count; index++) {
    client_open(&publishers[index]);
    connect_goal = options.one_by_one ? index + 1 : index > 50 ? index - 50 : 0;
    if ((options.one_by_one || index % 25 == 0) && !run_until(now_seconds() + 60, all_connected)) break;
  }
  connect_goal = client_count;
  if (!run_until(now_seconds() + 60, all_connected))
    fail("only %lu of %d connected", counters.connected, client_count);
}

static void subscribe_all(void) {
  if (!run_until(now_seconds() + 60, all_subscribed))
    fail("only %lu of %d subscribed", counters.subscribed, options.subscribers);
}

static void measure(void) {
  double seconds = options.count > 0 ? 600 : options.seconds;
  if (options.count == 0) run_until(now_seconds() + options.warmup_seconds, NULL);
  Mark from = mark();
  measuring = true;
  bool done = run_until(now_seconds() + seconds, options.count > 0 ? all_counted : NULL);
  Mark to = mark();
  measuring = false;
  if (options.count > 0 && !done) fail("not %ld after %.0f seconds", options.count, seconds);
  print_figures(&from, &to);
}

static void run_publishers(void) {
  publishing = true;
  double start = now_seconds();
  for (int index = 0; index < publisher_count; index++) {
    // Paced publishers do not all send at the same moment.
    if (options.rate > 0) publishers[index].due = start + (double)index / publisher_count / options.rate;
    publish_while_window(&publishers[index]);
  }
  measure();
}

static void run_connects(void) {
  connect_goal = options.users > 0 ? options.users : client_count;
  for (int index = 0; index < client_count; index++) client_open(&publishers[index]);
  publishing = true; // each one that left opens again
  if (!run_until(now_seconds() + 60, all_connected)) fail("only %lu logged in", counters.connected);
  measure();
}

static void hold(void) {
  printf("{\"held\":%d}\n", client_count);
  fflush(stdout);
  run_until(now_seconds() + 1e6, stdin_closed);
}

static void leave_all(void) {
  for (int index = 0; index < client_count; index++) {
    send_disconnect(&publishers[index]);
    client_close(&publishers[index]);
  }
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  clients_begin();
  make_clients();
  if (options.mode == MODE_CONNECT) {
    run_connects();
    return 0;
  }
  if (options.mode == MODE_READ) {
    client_open(&publishers[0]);
    measure(); // the connect is part of it
    return 0;
  }
  open_all();
  subscribe_all();
  if (options.mode == MODE_HOLD) hold();
  else if (options.mode == MODE_MEMBERS) leave_all();
  else run_publishers();
  return 0;
}
