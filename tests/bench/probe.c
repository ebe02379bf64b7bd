/* The program that every supervisor of the bench starts. No libc: its first instruction is ours.
 * Compiled with -DORDINARY it is an ordinary, dynamically linked program and begins with main().
 *
 * Each mode begins by telling the driver, over the FIFO in argv[2], the CLOCK_MONOTONIC time of its
 * first instruction. FIFO records are 16 bytes: u32 pid, u32 tag (argv[3]), u64 nanoseconds.
 *
 *   first FIFO TAG                 tell, exit 0
 *   stay  FIFO TAG                 tell, sleep for ever
 *   lines FIFO TAG LINES PER_SEC   write LINES lines of 100 bytes to stdout, at most PER_SEC a
 *                                  second (0: no limit), tell again, exit 0
 *   echo  FIFO TAG TRIGGER COUNT   for each byte read from the FIFO TRIGGER: `l` writes one line,
 *                                  the time as seconds and nanoseconds; `b` writes COUNT numbered lines
 *   pace  FIFO TAG LINES PER_SEC   write LINES numbered lines, each with its own write(2), PER_SEC
 *                                  a second, tell again, sleep for ever
 *
 * Facts: the x86-64 and AArch64 Linux system call conventions, syscall(2).
 */
typedef unsigned long u64;
typedef unsigned int u32;

#if defined(__x86_64__)
enum { SYS_read = 0, SYS_write = 1, SYS_pause = 34, SYS_getpid = 39, SYS_exit = 60,
       SYS_clock_gettime = 228, SYS_clock_nanosleep = 230, SYS_openat = 257 };
static long sys(long n, long a, long b, long c, long d) {
    register long r10 __asm__("r10") = d;
    long ret;
    __asm__ volatile("syscall" : "=a"(ret) : "0"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return ret;
}
__attribute__((noreturn)) static void hang(void) { for (;;) sys(SYS_pause, 0, 0, 0, 0); }
#ifndef ORDINARY
__asm__(".globl _start\n_start:\n mov %rsp, %rdi\n and $-16, %rsp\n call start\n");
#endif
#elif defined(__aarch64__)
enum { SYS_openat = 56, SYS_read = 63, SYS_write = 64, SYS_ppoll = 73, SYS_exit = 93,
       SYS_clock_gettime = 113, SYS_clock_nanosleep = 115, SYS_getpid = 172 };
static long sys(long n, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = n, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c, x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
__attribute__((noreturn)) static void hang(void) { for (;;) sys(SYS_ppoll, 0, 0, 0, 0); }
#ifndef ORDINARY
__asm__(".globl _start\n_start:\n mov x0, sp\n bl start\n");
#endif
#else
#error "no system call convention for this machine"
#endif

enum { CLOCK_MONOTONIC = 1, TIMER_ABSTIME = 1, AT_FDCWD = -100, O_RDONLY = 0, O_WRONLY = 1 };
enum { LINE = 100, LINES_PER_CHUNK = 655, NS_PER_S = 1000000000 };
struct timespec { long s, ns; };
struct record { u32 pid, tag; u64 ns; };
static char chunk[LINE * LINES_PER_CHUNK];

static u64 now(void) {
    struct timespec t;
    sys(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&t, 0, 0);
    return (u64)t.s * NS_PER_S + (u64)t.ns;
}

static void sleep_until(u64 ns) {
    struct timespec t = { (long)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
    sys(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, (long)&t, 0);
}

static u64 number(const char *s) {
    u64 n = 0;
    while (*s) n = n * 10 + (u64)(*s++ - '0');
    return n;
}

__attribute__((noreturn)) static void die(long code) { for (;;) sys(SYS_exit, code, 0, 0, 0); }

static void put(const char *p, u64 n) {
    while (n) {
        long done = sys(SYS_write, 1, (long)p, (long)n, 0);
        if (done <= 0) die(1);
        p += done;
        n -= (u64)done;
    }
}

/* Twelve digits. */
static void digits(char *to, u64 n) {
    for (int i = 11; i >= 0; i--, n /= 10) to[i] = (char)('0' + n % 10);
}

/* `TAG NUMBER\n`: 26 bytes. */
static u64 numbered(char *to, u64 tag, u64 n) {
    digits(to, tag);
    to[12] = ' ';
    digits(to + 13, n);
    to[25] = '\n';
    return 26;
}

static void lines(u64 count, u64 per_sec) {
    for (u64 i = 0; i < sizeof chunk; i++) chunk[i] = i % LINE == LINE - 1 ? '\n' : (char)('a' + i % 26);
    u64 begun = now(), done = 0;
    while (done < count) {
        u64 n = count - done < LINES_PER_CHUNK ? count - done : LINES_PER_CHUNK;
        if (per_sec) sleep_until(begun + done * 1000 / per_sec * 1000000);
        put(chunk, n * LINE);
        done += n;
    }
}

static void pace(u64 tag, u64 count, u64 per_sec) {
    char line[32];
    u64 begun = now();
    for (u64 i = 0; i < count; i++) {
        sleep_until(begun + i * NS_PER_S / per_sec);
        put(line, numbered(line, tag, i));
    }
}

static void burst(u64 tag, u64 count) {
    u64 used = 0;
    for (u64 i = 0; i < count; i++) {
        if (used + 32 > sizeof chunk) put(chunk, used), used = 0;
        used += numbered(chunk + used, tag, i);
    }
    put(chunk, used);
}

static void echo(u64 tag, const char *trigger, u64 count) {
    long fd = sys(SYS_openat, AT_FDCWD, (long)trigger, O_RDONLY, 0);
    char what, line[32];
    while (sys(SYS_read, fd, (long)&what, 1, 0) == 1) {
        if (what == 'b') burst(tag, count);
        else {
            u64 t = now();
            put(line, numbered(line, t / NS_PER_S, t % NS_PER_S));
        }
    }
}

/* `begun`: the time of the first instruction. */
static void run(u64 begun, long argc, char **argv) {
    if (argc < 4) die(2);
    u64 tag = number(argv[3]);
    long fd = sys(SYS_openat, AT_FDCWD, (long)argv[2], O_WRONLY, 0);
    if (fd < 0) die(3);
    struct record r = { (u32)sys(SYS_getpid, 0, 0, 0, 0), (u32)tag, begun };
    sys(SYS_write, fd, (long)&r, sizeof r, 0);
    switch (argv[1][0]) {
    case 'f': die(0);
    case 's': hang();
    case 'e': echo(tag, argv[4], number(argv[5])); die(0);
    case 'l': lines(number(argv[4]), number(argv[5])); break;
    case 'p': pace(tag, number(argv[4]), number(argv[5])); break;
    default: die(2);
    }
    r.ns = now();
    sys(SYS_write, fd, (long)&r, sizeof r, 0);
    if (argv[1][0] == 'p') hang();
    die(0);
}

#ifdef ORDINARY
int main(int argc, char **argv) {
    run(now(), argc, argv);
}
#else
__attribute__((used)) void start(long *stack) {
    run(now(), stack[0], (char **)(stack + 1));
}
#endif
