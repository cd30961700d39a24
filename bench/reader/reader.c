/*
 * The measuring client: one process, never the server, that reads a file in a given way and prints what it took as
 * one line of JSON. Every driver is read by this same program, so differences belong to the drivers.
 *
 *   reader seq    FILE [range] [--block N] [--passes N] [--reopen] [--direct]    pread from front to end
 *   reader random FILE [range] [--block N] [--count N] [--seconds S] [--seed N] [--direct]
 *                                                 pread at blocks in a fixed random order, none of them twice
 *   reader mmap   FILE [range] [--passes N]       maps the range and adds up its words
 *   reader files  FOLDER --list LIST              opens, reads and closes each file that LIST names, a path a line
 *   reader evict  FILE [range]                    drops the file's own pages from the page cache, nobody else's
 *
 * range: --offset N --length N. All: --cpu LIST (stay on these processors), --evict (before the first pass),
 * --disk FILE (count what the machine reads from the disk under FILE meanwhile).
 * "resident" is the share of the range that was in the page cache before the first pass.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PASSES = 16, SECTOR_BYTES = 512, ALIGNMENT = 4096 };

struct pass {
	uint64_t bytes;
	uint64_t reads;
	double seconds;
	int64_t disk_bytes; /* -1: unknown */
};

static struct {
	const char *path;
	const char *disk;
	const char *cpus;
	const char *list;
	uint64_t offset;
	uint64_t length;
	uint64_t block;
	uint64_t count;
	uint64_t seed;
	double seconds;
	unsigned passes;
	bool reopen;
	bool direct;
	bool evict;
} plan = {.passes = 1, .seed = 1};

static char *buffer;

static void die(const char *what)
{
	fprintf(stderr, "reader: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Bytes read so far from the block device that holds plan.disk, by /proc/diskstats. */
static int64_t disk_bytes(void)
{
	struct stat st;
	if (!plan.disk || stat(plan.disk, &st) < 0)
		return -1;
	FILE *stats = fopen("/proc/diskstats", "re");
	if (!stats)
		return -1;
	int64_t bytes = -1;
	char line[512];
	while (bytes < 0 && fgets(line, sizeof line, stats)) {
		unsigned major_number, minor_number;
		unsigned long long completed, merged, sectors;
		/* fields 1-6: major minor name reads-completed reads-merged sectors-read */
		if (sscanf(line, "%u %u %*s %llu %llu %llu", &major_number, &minor_number, &completed, &merged, &sectors) == 5 &&
		    major_number == major(st.st_dev) && minor_number == minor(st.st_dev))
			bytes = (int64_t)sectors * SECTOR_BYTES;
	}
	fclose(stats);
	return bytes;
}

static void parse_cpus(const char *list, cpu_set_t *set)
{
	CPU_ZERO(set);
	for (const char *at = list; *at;) {
		char *end;
		long cpu = strtol(at, &end, 10);
		if (end == at || cpu < 0 || cpu >= CPU_SETSIZE) {
			errno = EINVAL;
			die(list);
		}
		CPU_SET((size_t)cpu, set);
		at = *end == ',' ? end + 1 : end;
	}
}

static void stay_on(const char *list)
{
	cpu_set_t set;
	parse_cpus(list, &set);
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		die("sched_setaffinity");
}

static int open_file(void)
{
	int fd = open(plan.path, O_RDONLY | O_CLOEXEC | (plan.direct ? O_DIRECT : 0));
	if (fd < 0)
		die(plan.path);
	return fd;
}

static void evict(int fd)
{
	if (fdatasync(fd) < 0 && errno != EINVAL && errno != ENOSYS && errno != EROFS)
		die("fdatasync");
	errno = posix_fadvise(fd, (off_t)plan.offset, (off_t)plan.length, POSIX_FADV_DONTNEED);
	if (errno)
		die("posix_fadvise");
}

static double resident_share(int fd)
{
	uint64_t from = plan.offset & ~(uint64_t)(ALIGNMENT - 1);
	uint64_t span = plan.offset + plan.length - from;
	uint64_t pages = (span + ALIGNMENT - 1) / ALIGNMENT;
	if (!pages)
		return 0;
	void *map = mmap(NULL, span, PROT_READ, MAP_SHARED, fd, (off_t)from);
	unsigned char *states = malloc(pages);
	if (map == MAP_FAILED || !states || mincore(map, span, states) < 0) {
		free(states);
		return -1;
	}
	uint64_t resident = 0;
	for (uint64_t page = 0; page < pages; page++)
		resident += states[page] & 1;
	munmap(map, span);
	free(states);
	return (double)resident / (double)pages;
}

static uint64_t read_block(int fd, uint64_t offset, uint64_t length)
{
	uint64_t done = 0;
	while (done < length) {
		uint64_t wanted = plan.direct ? (length - done + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1) : length - done;
		ssize_t got = pread(fd, buffer + done, wanted, (off_t)(offset + done));
		if (got < 0)
			die("pread");
		if (got == 0)
			break;
		done += (uint64_t)got;
	}
	return done;
}

static void read_in_order(int fd, struct pass *pass)
{
	for (uint64_t at = 0; at < plan.length; at += plan.block) {
		uint64_t length = plan.length - at < plan.block ? plan.length - at : plan.block;
		uint64_t got = read_block(fd, plan.offset + at, length);
		pass->bytes += got;
		pass->reads++;
		if (got < length)
			break;
	}
}

/* A bijection of [0, 2^bits): each block comes once, in an order that the seed decides. */
static uint64_t scatter(uint64_t at, unsigned bits)
{
	uint64_t mask = ((uint64_t)1 << bits) - 1;
	unsigned half = bits / 2 ? bits / 2 : 1;
	for (unsigned round = 0; round < 3; round++) {
		at = (at * (0x9e3779b97f4a7c15u | 1) + plan.seed * (2 * round + 1)) & mask;
		at ^= at >> half;
	}
	return at;
}

static void read_scattered(int fd, struct pass *pass)
{
	uint64_t blocks = plan.length / plan.block;
	unsigned bits = 1;
	while (((uint64_t)1 << bits) < blocks)
		bits++;
	double until = plan.seconds > 0 ? now() + plan.seconds : 0;
	for (uint64_t at = 0; at < (uint64_t)1 << bits && (!plan.count || pass->reads < plan.count); at++) {
		uint64_t block = scatter(at, bits);
		if (block >= blocks)
			continue;
		pass->bytes += read_block(fd, plan.offset + block * plan.block, plan.block);
		pass->reads++;
		if (until > 0 && pass->reads % 64 == 0 && now() > until)
			break;
	}
}

static uint64_t sum_mapped(int fd, struct pass *pass)
{
	uint64_t from = plan.offset & ~(uint64_t)(ALIGNMENT - 1);
	uint64_t delta = plan.offset - from;
	char *map = mmap(NULL, plan.length + delta, PROT_READ, MAP_SHARED, fd, (off_t)from);
	if (map == MAP_FAILED)
		die("mmap");
	uint64_t sum = 0;
	for (uint64_t at = 0; at + sizeof sum <= plan.length; at += sizeof sum) {
		uint64_t word;
		memcpy(&word, map + delta + at, sizeof word);
		sum += word;
	}
	munmap(map, plan.length + delta);
	pass->bytes = plan.length;
	pass->reads = 1;
	return sum;
}

/* The paths are relative to the folder, and are in memory before the clock starts. */
static void measure_files(void)
{
	FILE *list = plan.list ? fopen(plan.list, "re") : NULL;
	struct stat st;
	if (!list || fstat(fileno(list), &st) < 0)
		die(plan.list ? plan.list : "--list");
	char *paths = malloc((size_t)st.st_size + 1);
	size_t length = paths ? fread(paths, 1, (size_t)st.st_size, list) : 0;
	fclose(list);
	if (!paths)
		die("malloc");
	paths[length] = '\0';
	int folder = open(plan.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (folder < 0)
		die(plan.path);
	struct pass pass = {0};
	double start = now();
	char *rest = paths;
	for (char *path; (path = strsep(&rest, "\n")) && *path;) {
		int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
		ssize_t got = fd < 0 ? -1 : read(fd, buffer, plan.block);
		if (got < 0)
			die(path);
		pass.bytes += (uint64_t)got;
		pass.reads++;
		close(fd);
	}
	pass.seconds = now() - start;
	printf("{\"mode\":\"files\",\"resident\":-1,\"passes\":[{\"bytes\":%llu,\"reads\":%llu,\"seconds\":%.6f,\"diskBytes\":-1}]}\n",
	       (unsigned long long)pass.bytes, (unsigned long long)pass.reads, pass.seconds);
	close(folder);
	free(paths);
}

static void measure(const char *mode)
{
	struct pass passes[MAX_PASSES] = {0};
	uint64_t sum = 0;
	int64_t disk_at_open = disk_bytes();
	double before_open = now();
	int fd = open_file();
	double open_s = now() - before_open;
	struct stat st;
	if (fstat(fd, &st) < 0)
		die(plan.path);
	if (!plan.length && (uint64_t)st.st_size > plan.offset)
		plan.length = (uint64_t)st.st_size - plan.offset;
	if (plan.evict)
		evict(fd);
	double resident = resident_share(fd);
	if (plan.evict || plan.reopen) {
		close(fd);
		disk_at_open = disk_bytes();
		before_open = now();
		fd = open_file();
		open_s = now() - before_open;
	}
	for (unsigned at = 0; at < plan.passes; at++) {
		struct pass *pass = &passes[at];
		int64_t disk_before = at == 0 ? disk_at_open : disk_bytes();
		double start = now();
		if (at && plan.reopen) {
			close(fd);
			fd = open_file();
		}
		if (strcmp(mode, "seq") == 0)
			read_in_order(fd, pass);
		else if (strcmp(mode, "random") == 0)
			read_scattered(fd, pass);
		else
			sum += sum_mapped(fd, pass);
		pass->seconds = now() - start + (at == 0 ? open_s : 0);
		pass->disk_bytes = disk_before < 0 ? -1 : disk_bytes() - disk_before;
	}
	close(fd);
	printf("{\"mode\":\"%s\",\"resident\":%.4f,\"sum\":\"%016llx\",\"passes\":[", mode, resident, (unsigned long long)sum);
	for (unsigned at = 0; at < plan.passes; at++)
		printf("%s{\"bytes\":%llu,\"reads\":%llu,\"seconds\":%.6f,\"diskBytes\":%lld}", at ? "," : "",
		       (unsigned long long)passes[at].bytes, (unsigned long long)passes[at].reads, passes[at].seconds,
		       (long long)passes[at].disk_bytes);
	printf("]}\n");
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"offset", 1, 0, 'o'}, {"length", 1, 0, 'l'}, {"block", 1, 0, 'b'},  {"count", 1, 0, 'n'},
		{"seed", 1, 0, 's'},   {"seconds", 1, 0, 't'}, {"passes", 1, 0, 'p'}, {"reopen", 0, 0, 'r'},
		{"direct", 0, 0, 'd'}, {"evict", 0, 0, 'e'},   {"cpu", 1, 0, 'c'},    {"disk", 1, 0, 'k'},
		{"list", 1, 0, 'f'},   {0, 0, 0, 0},
	};
	for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (which) {
		case 'o': plan.offset = strtoull(optarg, NULL, 10); break;
		case 'l': plan.length = strtoull(optarg, NULL, 10); break;
		case 'b': plan.block = strtoull(optarg, NULL, 10); break;
		case 'n': plan.count = strtoull(optarg, NULL, 10); break;
		case 's': plan.seed = strtoull(optarg, NULL, 10); break;
		case 't': plan.seconds = strtod(optarg, NULL); break;
		case 'p': plan.passes = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'r': plan.reopen = true; break;
		case 'd': plan.direct = true; break;
		case 'e': plan.evict = true; break;
		case 'c': plan.cpus = optarg; break;
		case 'k': plan.disk = optarg; break;
		case 'f': plan.list = optarg; break;
		default: exit(2);
		}
	if (plan.passes < 1 || plan.passes > MAX_PASSES)
		plan.passes = 1;
}

static bool one_of(const char *mode, const char *const *known)
{
	for (; *known; known++)
		if (strcmp(mode, *known) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	if (argc - optind != 2 || !one_of(argv[optind], (const char *[]){"seq", "random", "mmap", "files", "evict", NULL})) {
		fprintf(stderr, "usage: reader seq|random|mmap|files|evict FILE [options]\n");
		return 2;
	}
	const char *mode = argv[optind];
	plan.path = argv[optind + 1];
	if (plan.cpus)
		stay_on(plan.cpus);
	if (strcmp(mode, "evict") == 0) {
		int fd = open_file();
		if (!plan.length)
			plan.length = (uint64_t)lseek(fd, 0, SEEK_END) - plan.offset;
		evict(fd);
		printf("{\"mode\":\"evict\",\"resident\":%.4f,\"passes\":[]}\n", resident_share(fd));
		return 0;
	}
	if (!plan.block)
		plan.block = strcmp(mode, "random") == 0 ? 4096 : 1 << 20;
	if (posix_memalign((void **)&buffer, ALIGNMENT, plan.block + ALIGNMENT) != 0)
		die("posix_memalign");
	memset(buffer, 1, plan.block + ALIGNMENT);
	if (strcmp(mode, "files") == 0)
		measure_files();
	else
		measure(mode);
	return 0;
}
