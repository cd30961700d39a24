/*
 * The writing client: one process, never the server, that writes over a file in a given way and prints what it took as
 * one line of JSON. A mount and a plain file are written by this same program, so differences belong to what is below it.
 *
 *   writer seq    FILE... [range] [--block N]               pwrite from front to end
 *   writer random FILE... [range] [--block N] [--count N]   pwrite at blocks in a fixed random order, none of them twice
 *
 * range: --offset N --length N. The bytes follow from the seed and the place, and are noise: --seed N. Or they are the
 * complement of what is there, so that every byte differs: --invert. --mapped: stores into a shared mapping, no pwrite.
 * What is made durable, and when: --sync end (fsync before the close), --sync N (fdatasync after every N writes, and
 * fsync before the close); nothing without it. All: --cpu LIST (stay on these processors).
 *
 * The seconds go from before the open to after the close. Several files are written at the same time by a process each:
 * all begin together, every one does all of the above, and the seconds end with the last of them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Noise is made once: the block at a place begins SHIFT bytes further in it than the one before, and it wraps. */
enum { ALIGNMENT = 4096, SHIFT = 64, SHIFTS = 1024 };
enum { MOST_FILES = 64 };

static struct {
	const char *cpus;
	uint64_t offset;
	uint64_t length;
	uint64_t block;
	uint64_t count;
	uint64_t seed;
	uint64_t sync_every;
	bool sync_at_end;
	bool invert;
	bool mapped;
	bool random;
} plan = {.seed = 1};

static struct counts {
	uint64_t bytes;
	uint64_t writes;
	uint64_t syncs;
} done;

static char *noise;
static char *block;
/* Of the whole pages around the range; NULL without --mapped. */
static struct {
	char *pages;
	uint64_t offset;
	uint64_t size;
} mapping;

static void die(const char *what)
{
	fprintf(stderr, "writer: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void stay_on(const char *list)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	for (const char *at = list; *at;) {
		char *end;
		long cpu = strtol(at, &end, 10);
		if (end == at || cpu < 0 || cpu >= CPU_SETSIZE) {
			errno = EINVAL;
			die(list);
		}
		CPU_SET((size_t)cpu, &set);
		at = *end == ',' ? end + 1 : end;
	}
	if (sched_setaffinity(0, sizeof set, &set) < 0)
		die("sched_setaffinity");
}

/* xorshift64* */
static void make_noise(void)
{
	uint64_t size = plan.block + (uint64_t)SHIFT * SHIFTS;
	size = (size + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
	if (posix_memalign((void **)&noise, ALIGNMENT, size) != 0 || posix_memalign((void **)&block, ALIGNMENT, plan.block) != 0)
		die("posix_memalign");
	uint64_t state = plan.seed * 0x9e3779b97f4a7c15u + 1;
	for (uint64_t at = 0; at < size; at += sizeof state) {
		state ^= state >> 12;
		state ^= state << 25;
		state ^= state >> 27;
		uint64_t word = state * 0x2545f4914f6cdd1du;
		memcpy(noise + at, &word, sizeof word);
	}
	memset(block, 1, plan.block);
}

static const char *complement(int fd, uint64_t offset, uint64_t length)
{
	for (uint64_t at = 0; at < length;) {
		ssize_t got = pread(fd, block + at, length - at, (off_t)(offset + at));
		if (got <= 0)
			die("pread");
		at += (uint64_t)got;
	}
	for (uint64_t at = 0; at < length; at++)
		block[at] = (char)~block[at];
	return block;
}

static void write_block(int fd, uint64_t index)
{
	uint64_t at = index * plan.block;
	uint64_t length = plan.length - at < plan.block ? plan.length - at : plan.block;
	uint64_t offset = plan.offset + at;
	const char *bytes = plan.invert ? complement(fd, offset, length) : noise + index % SHIFTS * SHIFT;
	if (mapping.pages)
		memcpy(mapping.pages + (offset - mapping.offset), bytes, length);
	for (uint64_t written = mapping.pages ? length : 0; written < length;) {
		ssize_t put = pwrite(fd, bytes + written, length - written, (off_t)(offset + written));
		if (put <= 0)
			die("pwrite");
		written += (uint64_t)put;
	}
	done.bytes += length;
	done.writes++;
	if (plan.sync_every && done.writes % plan.sync_every == 0) {
		if (fdatasync(fd) < 0)
			die("fdatasync");
		done.syncs++;
	}
}

static void write_in_order(int fd)
{
	for (uint64_t index = 0; index * plan.block < plan.length && (!plan.count || done.writes < plan.count); index++)
		write_block(fd, index);
}

/* A bijection of [0, 2^bits): each block comes once, in an order that the seed decides. */
static uint64_t scatter(uint64_t at, unsigned bits)
{
	uint64_t mask = ((uint64_t)1 << bits) - 1;
	unsigned half = bits / 2 ? bits / 2 : 1;
	for (unsigned round = 0; round < 3; round++) {
		at = (at * 0x9e3779b97f4a7c15u + plan.seed * (2 * round + 1)) & mask;
		at ^= at >> half;
	}
	return at;
}

static void write_scattered(int fd)
{
	uint64_t blocks = plan.length / plan.block;
	unsigned bits = 1;
	while (((uint64_t)1 << bits) < blocks)
		bits++;
	for (uint64_t at = 0; at < (uint64_t)1 << bits && (!plan.count || done.writes < plan.count); at++) {
		uint64_t index = scatter(at, bits);
		if (index < blocks)
			write_block(fd, index);
	}
}

static void map_range(int fd)
{
	mapping.offset = plan.offset & ~(uint64_t)(ALIGNMENT - 1);
	mapping.size = plan.offset + plan.length - mapping.offset;
	void *pages = mmap(NULL, mapping.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)mapping.offset);
	if (pages == MAP_FAILED)
		die("mmap");
	mapping.pages = pages;
}

static void write_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die(path);
	if (plan.mapped)
		map_range(fd);
	if (plan.random)
		write_scattered(fd);
	else
		write_in_order(fd);
	/* Also writes back what is dirty in the mapping. */
	if (plan.sync_at_end) {
		if (fsync(fd) < 0)
			die("fsync");
		done.syncs++;
	}
	if (mapping.pages && munmap(mapping.pages, mapping.size) < 0)
		die("munmap");
	if (close(fd) < 0)
		die(path);
}

/* What needs no clock. */
static void prepare(const char *path)
{
	struct stat st;
	if (stat(path, &st) < 0)
		die(path);
	if (!plan.length && (uint64_t)st.st_size > plan.offset)
		plan.length = (uint64_t)st.st_size - plan.offset;
	if (plan.mapped && plan.offset + plan.length > (uint64_t)st.st_size) {
		errno = EINVAL;
		die(path);
	}
	make_noise();
}

/* Tells that it is prepared, and begins with a byte of `go`. Writes nothing if that never comes: another one failed. */
static void be_one_of_several(const char *path, int ready, int go, struct counts *counts)
{
	char begin;
	prepare(path);
	if (write(ready, "", 1) != 1 || close(ready) < 0)
		die("pipe");
	if (read(go, &begin, 1) != 1)
		_exit(1);
	write_file(path);
	*counts = done;
	_exit(0);
}

/* Returns the seconds. */
static double write_together(char **paths, int files)
{
	int ready[2], go[2];
	struct counts *counts =
		mmap(NULL, sizeof *counts * MOST_FILES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (counts == MAP_FAILED || pipe2(ready, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
		die("pipe");
	for (int at = 0; at < files; at++) {
		pid_t child = fork();
		if (child < 0)
			die("fork");
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(go[1]);
			plan.seed += (uint64_t)at;
			be_one_of_several(paths[at], ready[1], go[0], &counts[at]);
		}
	}
	close(ready[1]);
	char prepared;
	for (int at = 0; at < files; at++)
		if (read(ready[0], &prepared, 1) != 1)
			exit(1); /* the child has said why */
	double start = now();
	if (write(go[1], (char[MOST_FILES]){0}, (size_t)files) != files)
		die("pipe");
	for (int at = 0; at < files; at++) {
		int status;
		if (wait(&status) < 0 || status != 0)
			exit(1);
	}
	double seconds = now() - start;
	for (int at = 0; at < files; at++) {
		done.bytes += counts[at].bytes;
		done.writes += counts[at].writes;
		done.syncs += counts[at].syncs;
	}
	return seconds;
}

static void parse_sync(const char *how)
{
	plan.sync_at_end = true;
	if (strcmp(how, "end") == 0)
		return;
	plan.sync_every = strtoull(how, NULL, 10);
	if (!plan.sync_every) {
		errno = EINVAL;
		die(how);
	}
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"offset", 1, 0, 'o'}, {"length", 1, 0, 'l'}, {"block", 1, 0, 'b'}, {"count", 1, 0, 'n'},
		{"seed", 1, 0, 's'},   {"sync", 1, 0, 'y'},   {"cpu", 1, 0, 'c'},   {"invert", 0, 0, 'i'},
		{"mapped", 0, 0, 'm'}, {0, 0, 0, 0},
	};
	for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (which) {
		case 'o': plan.offset = strtoull(optarg, NULL, 10); break;
		case 'l': plan.length = strtoull(optarg, NULL, 10); break;
		case 'b': plan.block = strtoull(optarg, NULL, 10); break;
		case 'n': plan.count = strtoull(optarg, NULL, 10); break;
		case 's': plan.seed = strtoull(optarg, NULL, 10); break;
		case 'y': parse_sync(optarg); break;
		case 'c': plan.cpus = optarg; break;
		case 'i': plan.invert = true; break;
		case 'm': plan.mapped = true; break;
		default: exit(2);
		}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	char **paths = argv + optind + 1;
	int files = argc - optind - 1;
	plan.random = files > 0 && strcmp(argv[optind], "random") == 0;
	if (files < 1 || files > MOST_FILES || (!plan.random && strcmp(argv[optind], "seq") != 0)) {
		fprintf(stderr, "usage: writer seq|random FILE... [options]\n");
		return 2;
	}
	if (!plan.block)
		plan.block = plan.random ? 4096 : 1 << 20;
	if (plan.cpus)
		stay_on(plan.cpus);
	double seconds;
	if (files > 1) {
		seconds = write_together(paths, files);
	} else {
		prepare(paths[0]);
		double start = now();
		write_file(paths[0]);
		seconds = now() - start;
	}
	printf("{\"bytes\":%llu,\"writes\":%llu,\"syncs\":%llu,\"seconds\":%.6f}\n", (unsigned long long)done.bytes,
	       (unsigned long long)done.writes, (unsigned long long)done.syncs, seconds);
	return 0;
}
