/*
 * The ceiling: what a plain libfuse3 low-level loop can do on this machine.
 *
 * Serves one file, /tensor.bin, which is a byte range of a given file, straight from a mapping of it. There is no
 * archive, no tree and no bookkeeping in the way, so a mount of MLFS is measured against the cost of FUSE itself.
 * Which variant is the best differs by workload and by machine; the bench runs several and takes the best.
 *
 *   ceiling FILE MOUNTPOINT [options]
 *     --offset N --length N      the range of FILE (default: all of it)
 *     --advice random|normal|sequential|by-size   madvise of the mapping (default normal); by-size has two mappings,
 *                                random for requests under 64 KiB and sequential for the others
 *     --reply map|pread|splice   writev from the mapping, pread to a buffer, or splice from the file (default map)
 *     --max-read N               largest READ in bytes (default 1 MiB)
 *     --ahead N                  posix_fadvise(WILLNEED) so many bytes ahead of sequential reads (default 0)
 *     --threads N                1: fuse_session_loop; more: the multi-threaded loop (default 1)
 *     --clone-fd                 a device descriptor of its own for each thread
 *     --spin-us N                poll the device for so long before sleeping
 *     --files N                  as many empty files beside it
 *
 * Stays in the foreground; SIGINT, SIGTERM and an unmount end it.
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TENSOR_INO = 2, FIRST_EMPTY_INO = 3 };
enum reply { REPLY_MAP, REPLY_PREAD, REPLY_SPLICE };

static const double FOREVER_S = 86400;
static const size_t LARGE_REQUEST = 64 << 10;

static struct {
	int fd;
	const char *mapped; /* of the whole file; the range starts at `offset` */
	const char *mapped_for_large; /* the same, or a second mapping with other advice */
	uint64_t offset;
	uint64_t length;
	uint64_t ahead;
	uint64_t files;
	unsigned max_read;
	unsigned threads;
	unsigned spin_us;
	bool clone_fd;
	bool by_size;
	int advice;
	enum reply reply;
	_Atomic uint64_t next; /* where a sequential reader would go on */
	_Atomic uint64_t asked; /* how far the disk was asked to read ahead */
} loop = {.max_read = 1 << 20, .threads = 1, .advice = MADV_NORMAL};

static bool attr_of(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = ino;
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0555;
		st->st_nlink = 2;
		return true;
	}
	if (ino > TENSOR_INO + loop.files)
		return false;
	st->st_mode = S_IFREG | 0444;
	st->st_nlink = 1;
	st->st_size = ino == TENSOR_INO ? (off_t)loop.length : 0;
	return true;
}

static void name_of(fuse_ino_t ino, char name[32])
{
	if (ino == TENSOR_INO)
		strcpy(name, "tensor.bin");
	else
		snprintf(name, 32, "empty%llu", (unsigned long long)(ino - FIRST_EMPTY_INO));
}

static fuse_ino_t ino_of(const char *name)
{
	if (strcmp(name, "tensor.bin") == 0)
		return TENSOR_INO;
	unsigned long long at;
	char rest;
	if (sscanf(name, "empty%llu%c", &at, &rest) == 1 && at < loop.files)
		return FIRST_EMPTY_INO + at;
	return 0;
}

static struct fuse_entry_param entry_of(fuse_ino_t ino)
{
	struct fuse_entry_param entry = {.ino = ino, .attr_timeout = FOREVER_S, .entry_timeout = FOREVER_S};
	attr_of(ino, &entry.attr);
	return entry;
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_read = loop.max_read;
	conn->max_readahead = loop.max_read > conn->max_readahead ? loop.max_read : conn->max_readahead;
	if (loop.reply != REPLY_SPLICE)
		conn->want &= ~(FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	else
		conn->want |= conn->capable & (FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	fuse_ino_t ino = parent == FUSE_ROOT_ID ? ino_of(name) : 0;
	if (!ino) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	struct fuse_entry_param entry = entry_of(ino);
	fuse_reply_entry(req, &entry);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	struct stat st;
	if (attr_of(ino, &st))
		fuse_reply_attr(req, &st, FOREVER_S);
	else
		fuse_reply_err(req, ENOENT);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->keep_cache = 1;
	fuse_reply_open(req, fi);
}

static void ask_ahead(uint64_t offset, uint64_t size)
{
	uint64_t expected = atomic_exchange(&loop.next, offset + size);
	if (expected != offset)
		return;
	uint64_t until = offset + size + loop.ahead;
	uint64_t asked = atomic_load(&loop.asked);
	if (asked < offset + size || asked > until)
		asked = offset + size;
	if (until - asked < loop.ahead / 2)
		return;
	atomic_store(&loop.asked, until);
	posix_fadvise(loop.fd, (off_t)(loop.offset + asked), (off_t)(until - asked), POSIX_FADV_WILLNEED);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	uint64_t length = ino == TENSOR_INO ? loop.length : 0;
	uint64_t from = (uint64_t)offset;
	if (from >= length) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (size > length - from)
		size = length - from;
	if (loop.ahead)
		ask_ahead(from, size);

	if (loop.reply == REPLY_MAP) {
		const char *mapped = size < LARGE_REQUEST ? loop.mapped : loop.mapped_for_large;
		struct iovec bytes = {(void *)(mapped + loop.offset + from), size};
		fuse_reply_iov(req, &bytes, 1);
	} else if (loop.reply == REPLY_SPLICE) {
		struct fuse_bufvec bytes = FUSE_BUFVEC_INIT(size);
		bytes.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
		bytes.buf[0].fd = loop.fd;
		bytes.buf[0].pos = (off_t)(loop.offset + from);
		fuse_reply_data(req, &bytes, FUSE_BUF_SPLICE_MOVE);
	} else {
		static _Thread_local char *buffer;
		if (!buffer)
			buffer = malloc(loop.max_read);
		ssize_t got = buffer ? pread(loop.fd, buffer, size, (off_t)(loop.offset + from)) : -1;
		if (got < 0)
			fuse_reply_err(req, EIO);
		else
			fuse_reply_buf(req, buffer, (size_t)got);
	}
}

/* Directory offsets are inode numbers: the entry at `offset` is the one after inode `offset`. */
static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
	if (ino != FUSE_ROOT_ID) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	char *page = malloc(size);
	if (!page) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	size_t used = 0;
	fuse_ino_t at = offset ? (fuse_ino_t)offset + 1 : TENSOR_INO;
	for (; at <= TENSOR_INO + loop.files; at++) {
		char name[32];
		name_of(at, name);
		struct fuse_entry_param entry = entry_of(at);
		size_t need = plus ? fuse_add_direntry_plus(req, page + used, size - used, name, &entry, (off_t)at)
				   : fuse_add_direntry(req, page + used, size - used, name, &entry.attr, (off_t)at);
		if (need > size - used)
			break;
		used += need;
	}
	fuse_reply_buf(req, page, used);
	free(page);
}

static void on_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, false);
}

static void on_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	list(req, ino, size, offset, true);
}

static const struct fuse_lowlevel_ops operations = {
	.init = on_init,
	.lookup = on_lookup,
	.getattr = on_getattr,
	.open = on_open,
	.read = on_read,
	.readdir = on_readdir,
	.readdirplus = on_readdirplus,
};

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Polls the non-blocking device for spin_us after the last request, and sleeps only then. */
static void *spin(void *argument)
{
	struct fuse_session *session = argument;
	struct fuse_buf buffer = {0};
	uint64_t last = now_us();
	while (!fuse_session_exited(session)) {
		int got = fuse_session_receive_buf(session, &buffer);
		if (got > 0) {
			fuse_session_process_buf(session, &buffer);
			last = now_us();
		} else if (got == -EAGAIN) {
			if (now_us() - last < loop.spin_us)
				continue;
			struct pollfd device = {fuse_session_fd(session), POLLIN, 0};
			poll(&device, 1, 200);
			last = now_us();
		} else if (got != -EINTR) {
			break;
		}
	}
	free(buffer.mem);
	return NULL;
}

static int serve_spinning(struct fuse_session *session)
{
	int fd = fuse_session_fd(session);
	if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
		return -errno;
	pthread_t others[64];
	unsigned started = 0;
	while (started + 1 < loop.threads && started < 64)
		if (pthread_create(&others[started], NULL, spin, session) == 0)
			started++;
		else
			break;
	spin(session);
	while (started)
		pthread_join(others[--started], NULL);
	return 0;
}

static int serve(struct fuse_session *session)
{
	if (loop.spin_us)
		return serve_spinning(session);
	if (loop.threads <= 1)
		return fuse_session_loop(session);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	fuse_loop_cfg_set_clone_fd(config, loop.clone_fd);
	fuse_loop_cfg_set_max_threads(config, loop.threads);
	fuse_loop_cfg_set_idle_threads(config, loop.threads);
	int status = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return status;
}

static int advice_named(const char *name)
{
	if (strcmp(name, "random") == 0 || strcmp(name, "by-size") == 0)
		return MADV_RANDOM;
	return strcmp(name, "sequential") == 0 ? MADV_SEQUENTIAL : MADV_NORMAL;
}

static enum reply reply_named(const char *name)
{
	if (strcmp(name, "pread") == 0)
		return REPLY_PREAD;
	return strcmp(name, "splice") == 0 ? REPLY_SPLICE : REPLY_MAP;
}

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"offset", 1, 0, 'o'},	 {"length", 1, 0, 'l'},	  {"advice", 1, 0, 'a'},   {"reply", 1, 0, 'r'},
		{"max-read", 1, 0, 'm'}, {"ahead", 1, 0, 'w'},	  {"threads", 1, 0, 't'},  {"clone-fd", 0, 0, 'c'},
		{"spin-us", 1, 0, 's'},	 {"files", 1, 0, 'f'},	  {0, 0, 0, 0},
	};
	for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (which) {
		case 'o': loop.offset = strtoull(optarg, NULL, 10); break;
		case 'l': loop.length = strtoull(optarg, NULL, 10); break;
		case 'a':
			loop.advice = advice_named(optarg);
			loop.by_size = strcmp(optarg, "by-size") == 0;
			break;
		case 'r': loop.reply = reply_named(optarg); break;
		case 'm': loop.max_read = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'w': loop.ahead = strtoull(optarg, NULL, 10); break;
		case 't': loop.threads = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'c': loop.clone_fd = true; break;
		case 's': loop.spin_us = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'f': loop.files = strtoull(optarg, NULL, 10); break;
		default: return false;
		}
	return argc - optind == 2;
}

static const char *map_with(uint64_t size, int advice)
{
	void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, loop.fd, 0);
	if (mapped == MAP_FAILED || madvise(mapped, size, advice) < 0)
		return NULL;
	return mapped;
}

static bool map_file(const char *path)
{
	struct stat st;
	loop.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (loop.fd < 0 || fstat(loop.fd, &st) < 0)
		return false;
	uint64_t size = (uint64_t)st.st_size;
	if (loop.offset > size)
		loop.offset = size;
	if (!loop.length || loop.length > size - loop.offset)
		loop.length = size - loop.offset;
	loop.mapped = loop.mapped_for_large = map_with(size, loop.advice);
	if (loop.mapped && loop.by_size)
		loop.mapped_for_large = map_with(size, MADV_SEQUENTIAL);
	return loop.mapped && loop.mapped_for_large;
}

int main(int argc, char **argv)
{
	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: ceiling FILE MOUNTPOINT [--offset N] [--length N] [--advice random|normal|by-size]"
				" [--reply map|pread|splice] [--max-read N] [--ahead N] [--threads N] [--clone-fd]"
				" [--spin-us N] [--files N]\n");
		return 2;
	}
	if (!map_file(argv[optind])) {
		perror(argv[optind]);
		return 1;
	}
	char options[128];
	snprintf(options, sizeof options, "ro,fsname=ceiling,max_read=%u", loop.max_read);
	char *fuse_argv[] = {argv[0], "-o", options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, fuse_argv);
	struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, NULL);
	if (!session)
		return 1;
	int status = 1;
	if (fuse_set_signal_handlers(session) == 0 && fuse_session_mount(session, argv[optind + 1]) == 0) {
		status = serve(session) < 0;
		fuse_session_unmount(session);
	}
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	return status;
}
