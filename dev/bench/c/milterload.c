/* milterload: drive any milter as an MTA would (protocol v6), and time it.
 *
 * usage: milterload [-r RATE [-p]] SOCKET CONNS MESSAGES BODY_BYTES [FLAG_EVERY]
 *   -r RATE   messages per second over all connections, evenly spaced; without it, as fast as possible
 *   -p        with -r: gaps of a Poisson process (exponential, with a fixed seed) instead of even ones
 *   SOCKET    unix:/path  or  inet:port@127.0.0.1
 *   CONNS     simultaneous MTA connections (one thread each)
 *   MESSAGES  messages in all, shared between the connections
 *   BODY_BYTES size of each message's body
 *   FLAG_EVERY every Nth message is a reply whose body is "stopit" (0 = none)
 * With -r the load is open: a message is due at its time even if earlier ones are not done, and its latency counts
 * from then. So a pause of the filter adds to the latency of all messages that become due in it.
 *
 * Prints one line of JSON: messages, seconds, per second, latency percentiles (microseconds),
 * bytes sent, and the number of each final reply.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static const char *sock_spec;
static long total, body_bytes, flag_every;
static long next_msg;
static uint32_t *lat; /* microseconds, by message */
static long replies[256];
static long mods[256];
static unsigned long long bytes_out;
static int64_t *due; /* nanoseconds from `begin`, by message; NULL: as fast as it goes */
static int64_t begin;
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static uint32_t negotiated;

enum { NOCONNECT=1, NOHELO=2, NOMAIL=4, NORCPT=8, NOBODY=0x10, NOHDRS=0x20, NOEOH=0x40, NR_HDR=0x80,
       NOUNKNOWN=0x100, NODATA=0x200, SKIP=0x400, NR_CONN=0x1000, NR_HELO=0x2000, NR_MAIL=0x4000,
       NR_RCPT=0x8000, NR_DATA=0x10000, NR_UNKN=0x20000, NR_EOH=0x40000, NR_BODY=0x80000 };

typedef struct { int fd; char *buf; size_t len, cap; uint32_t steps; unsigned long long sent; } conn;

static int64_t now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }
static void plan(double rate, int poisson) { /* when each message is due */
  due = calloc((size_t)total, sizeof *due); unsigned short seed[3] = {1, 2, 3}; double at = 0;
  for (long m = 0; m < total; m++) { due[m] = (int64_t)at; at += (poisson ? -log(1 - erand48(seed)) : 1) * 1e9 / rate; }
  begin = now() + 100000000; /* time to connect and negotiate */
}
static int64_t wait_until_due(long m) {
  int64_t at = begin + due[m]; struct timespec t = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR) ;
  return at;
}
static void die(const char *what) { perror(what); exit(1); }

static void put(conn *c, char cmd, const void *data, size_t n) {
  uint32_t l = htonl((uint32_t)n + 1);
  if (c->len + n + 5 > c->cap) { c->cap = (c->len + n + 5) * 2; c->buf = realloc(c->buf, c->cap); }
  memcpy(c->buf + c->len, &l, 4); c->buf[c->len + 4] = cmd;
  memcpy(c->buf + c->len + 5, data, n); c->len += n + 5;
}
static void flush_out(conn *c) {
  size_t o = 0;
  while (o < c->len) { ssize_t w = write(c->fd, c->buf + o, c->len - o); if (w <= 0) die("write"); o += (size_t)w; }
  c->sent += c->len; c->len = 0;
}
static void readn(conn *c, void *p, size_t n) {
  size_t o = 0;
  while (o < n) { ssize_t r = read(c->fd, (char *)p + o, n - o); if (r <= 0) { fprintf(stderr, "milter closed the connection\n"); exit(1);} o += (size_t)r; }
}
static char reply(conn *c, char *data, size_t cap) { /* one packet */
  uint32_t l; char cmd; readn(c, &l, 4); l = ntohl(l); readn(c, &cmd, 1); l--;
  if (l > cap) { char *t = malloc(l); readn(c, t, l); free(t); } else if (l) readn(c, data, l);
  return cmd;
}
static char final_reply(conn *c) { /* flush, then read to the final reply */
  char d[65536]; flush_out(c);
  for (;;) { char r = reply(c, d, sizeof d);
    if (strchr("catrdsy4", r) || r == 'S') return r;
    __sync_fetch_and_add(&mods[(unsigned char)r], 1); /* h m + - b q e i p ... */ }
}
static int dial(void) {
  if (!strncmp(sock_spec, "unix:", 5)) {
    struct sockaddr_un a = {.sun_family = AF_UNIX}; strncpy(a.sun_path, sock_spec + 5, sizeof a.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0); if (connect(fd, (void *)&a, sizeof a)) die("connect"); return fd;
  }
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(sock_spec + 5))};
  inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1; if (connect(fd, (void *)&a, sizeof a)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); return fd;
}
static void strs(conn *c, char cmd, int n, ...) {
  char b[4096]; size_t l = 0; va_list ap; __builtin_va_start(ap, n);
  for (int i = 0; i < n; i++) { const char *s = __builtin_va_arg(ap, const char *); size_t k = strlen(s) + 1; memcpy(b + l, s, k); l += k; }
  __builtin_va_end(ap); put(c, cmd, b, l);
}
static void macros(conn *c, char stage, const char **kv) {
  char b[4096]; size_t l = 0; b[l++] = stage;
  for (; *kv; kv++) { size_t k = strlen(*kv) + 1; memcpy(b + l, *kv, k); l += k; }
  put(c, 'D', b, l);
}
static const char *HDR[][2] = {
  {"Received", "from client.example.edu (client.example.edu [192.0.2.7])\n\tby mail.example.edu (Postfix) with ESMTPSA id 4XyZ\n\tfor <victim@example.edu>; Sun, 22 Nov 2026 10:00:00 -0500 (EST)"},
  {"Date", "Sun, 22 Nov 2026 10:00:00 -0500"}, {"MIME-Version", "1.0"},
  {"User-Agent", "Mozilla Thunderbird"}, {"Content-Language", "en-US"},
  {"From", "Some Sender <sender@example.edu>"}, {"To", "victim@example.edu"},
  {"Subject", "Re: about the seminar on Thursday"},
  {"Content-Type", "text/plain; charset=UTF-8; format=flowed"}, {"Content-Transfer-Encoding", "7bit"},
  {"DKIM-Signature", "v=1; a=rsa-sha256; c=relaxed/simple; d=example.edu; s=mail;\n\tt=1795000000; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\n\th=Date:Subject:To:From; b=abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"},
  {"X-Mailer", "test"},
};
static void step(conn *c, uint32_t no, uint32_t nr, char *v) {
  if (c->steps & nr) return; (void)no; *v = final_reply(c);
}
static char *body; /* one for all, and ready before the clock runs */
static void *worker(void *arg) {
  (void)arg; prctl(PR_SET_TIMERSLACK, 1UL); conn c = {.fd = dial(), .cap = 1 << 20, .buf = malloc(1 << 20)};
  uint32_t neg[3] = {htonl(6), htonl(0x1ff), htonl(0x1fffff)}; char d[4096], v = 'c';
  put(&c, 'O', neg, 12); flush_out(&c);
  if (reply(&c, d, sizeof d) != 'O') { fprintf(stderr, "no negotiation\n"); exit(1); }
  memcpy(&c.steps, d + 8, 4); c.steps = ntohl(c.steps); negotiated = c.steps;
  const char *mc[] = {"j", "mail.example.edu", "{daemon_name}", "smtpd", "v", "Postfix 3.7", NULL};
  if (!(c.steps & NOCONNECT)) {
    macros(&c, 'C', mc); char b[128]; size_t l = 0; const char *h = "client.example.edu"; memcpy(b, h, strlen(h) + 1); l = strlen(h) + 1;
    b[l++] = '4'; uint16_t p = htons(40000); memcpy(b + l, &p, 2); l += 2; memcpy(b + l, "192.0.2.7", 10); l += 10; put(&c, 'C', b, l); step(&c, NOCONNECT, NR_CONN, &v); }
  if (!(c.steps & NOHELO)) { macros(&c, 'H', (const char *[]){"{tls_version}", "TLSv1.3", NULL}); strs(&c, 'H', 1, "client.example.edu"); step(&c, NOHELO, NR_HELO, &v); }
  for (;;) {
    long m = __sync_fetch_and_add(&next_msg, 1); if (m >= total) break;
    int flag = flag_every && m % flag_every == flag_every - 1; int64_t t0 = due ? wait_until_due(m) : now(); v = 'c';
    char id[64], mid[96], irt[96], qid[32]; snprintf(id, sizeof id, "%lx.%d", m, getpid()); snprintf(mid, sizeof mid, "<%s@example.edu>", id); snprintf(qid, sizeof qid, "4X%08lx", m);
    snprintf(irt, sizeof irt, "<%lx.%d@example.edu>", m ? m - 1 : 0, getpid());
    if (!(c.steps & NOMAIL)) { macros(&c, 'M', (const char *[]){"{mail_addr}", flag ? "victim@example.edu" : "sender@example.edu", "{mail_mailer}", "smtp", "{auth_authen}", flag ? "victim" : "sender", "{auth_type}", "PLAIN", NULL});
      strs(&c, 'M', 1, flag ? "<victim@example.edu>" : "<sender@example.edu>"); step(&c, NOMAIL, NR_MAIL, &v); }
    if (v == 'c' && !(c.steps & NORCPT)) { macros(&c, 'R', (const char *[]){"{rcpt_addr}", flag ? "sender@example.edu" : "victim@example.edu", "{rcpt_mailer}", "local", "i", qid, NULL});
      strs(&c, 'R', 1, flag ? "<sender@example.edu>" : "<victim@example.edu>"); step(&c, NORCPT, NR_RCPT, &v); }
    if (v == 'c' && !(c.steps & NODATA)) { macros(&c, 'T', (const char *[]){"i", qid, NULL}); put(&c, 'T', "", 0); step(&c, NODATA, NR_DATA, &v); }
    if (v == 'c' && !(c.steps & NOHDRS)) {
      for (size_t i = 0; i < sizeof HDR / sizeof *HDR && v == 'c'; i++) {
        const char *val = HDR[i][1]; if (flag && !strcmp(HDR[i][0], "From")) val = "victim@example.edu"; if (flag && !strcmp(HDR[i][0], "To")) val = "sender@example.edu";
        strs(&c, 'L', 2, HDR[i][0], val); step(&c, NOHDRS, NR_HDR, &v); }
      if (v == 'c') { strs(&c, 'L', 2, "Message-ID", mid); step(&c, NOHDRS, NR_HDR, &v); }
      if (v == 'c' && flag) { strs(&c, 'L', 2, "In-Reply-To", irt); step(&c, NOHDRS, NR_HDR, &v); }
    }
    if (v == 'c' && !(c.steps & NOEOH)) { macros(&c, 'N', (const char *[]){"i", qid, NULL}); put(&c, 'N', "", 0); step(&c, NOEOH, NR_EOH, &v); }
    if (v == 'c') {
      if (!(c.steps & NOBODY)) {
        if (flag) { char fb[256]; int n = snprintf(fb, sizeof fb, "stopit\r\n\r\nOn Sunday Some Sender wrote:\r\n> offending text\r\n"); put(&c, 'B', fb, (size_t)n); step(&c, NOBODY, NR_BODY, &v); }
        else for (long o = 0; o < body_bytes && v == 'c'; o += 65535) { long n = body_bytes - o < 65535 ? body_bytes - o : 65535; put(&c, 'B', body + o, (size_t)n);
          if (c.steps & NR_BODY) flush_out(&c); else v = final_reply(&c); }
        if (v == 's') v = 'c';
      }
      if (v == 'c') { macros(&c, 'E', (const char *[]){"i", qid, NULL}); put(&c, 'E', "", 0); v = final_reply(&c); __sync_fetch_and_add(&replies[(unsigned char)v], 1); goto done; }
    }
    __sync_fetch_and_add(&replies[(unsigned char)v], 1);
    put(&c, 'A', "", 0);
  done:
    lat[m] = (uint32_t)((now() - t0) / 1000);
  }
  put(&c, 'Q', "", 0); flush_out(&c); close(c.fd);
  pthread_mutex_lock(&mu); bytes_out += c.sent; pthread_mutex_unlock(&mu); return NULL;
}
static int cmp(const void *a, const void *b) { uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b; return x < y ? -1 : x > y; }
int main(int argc, char **argv) {
  double rate = 0; int poisson = 0, option;
  while ((option = getopt(argc, argv, "r:p")) != -1) { if (option == 'r') rate = atof(optarg); else if (option == 'p') poisson = 1; else return 2; }
  argc -= optind - 1; argv += optind - 1;
  if (argc < 5) { fprintf(stderr, "usage: milterload [-r RATE [-p]] SOCKET CONNS MESSAGES BODY_BYTES [FLAG_EVERY]\n"); return 2; }
  sock_spec = argv[1]; int conns = atoi(argv[2]); total = atol(argv[3]); body_bytes = atol(argv[4]); flag_every = argc > 5 ? atol(argv[5]) : 0;
  body = malloc((size_t)body_bytes + 128); for (long i = 0; i < body_bytes; i++) body[i] = (i % 72 == 70) ? '\r' : (i % 72 == 71) ? '\n' : 'a' + (char)(i % 26);
  lat = calloc((size_t)total, sizeof *lat); pthread_t *t = calloc((size_t)conns, sizeof *t);
  if (rate > 0) plan(rate, poisson); else begin = now();
  for (int i = 0; i < conns; i++) pthread_create(&t[i], NULL, worker, NULL);
  for (int i = 0; i < conns; i++) pthread_join(t[i], NULL);
  double s = (double)(now() - begin) / 1e9;
  qsort(lat, (size_t)total, sizeof *lat, cmp);
  printf("{\"messages\": %ld, \"seconds\": %.3f, \"per_second\": %.0f, \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u, \"bytes_out\": %llu, \"steps\": \"0x%x\", \"replies\": {", total, s, (double)total / s, lat[total / 2], lat[total * 99 / 100], lat[total - 1], bytes_out, negotiated);
  int first = 1; for (int i = 0; i < 256; i++) if (replies[i]) { printf("%s\"%c\": %ld", first ? "" : ", ", i, replies[i]); first = 0; }
  printf("}, \"changes\": {"); first = 1; for (int i = 0; i < 256; i++) if (mods[i]) { printf("%s\"%c\": %ld", first ? "" : ", ", i, mods[i]); first = 0; } printf("}}\n"); return 0;
}
