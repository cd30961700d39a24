/*
 * The ceiling of writing: what a plain libfuse3 low-level loop can do on this machine.
 *
 * Serves a range of each of the given plain files, as /0.bin, /1.bin and so on: a READ is one pread and a WRITE one
 * pwrite of the file behind it. There is no journal, no comparison and no other name to invalidate, so a mount of MLFS
 * is measured against the cost of FUSE and of the file itself. As in MLFS, a WRITE is answered when the file behind has
 * the bytes: the kernel's write-back cache is off, because with it a write is acknowledged before the server knows it.
 *
 *   store MOUNTPOINT FILE... [options]
 *     --offset N --length N      the range of each FILE (default: all of it); a write beyond it is ENOSPC
 *     --max-write N              largest WRITE and READ in bytes (default 1 MiB)
 *     --splice                   a large WRITE moves through a pipe from the device to the file, instead of a buffer
 *     --threads N                1: fuse_session_loop; more: the multi-threaded loop (default 1)
 *     --clone-fd                 a device descriptor of its own for each thread
 *
 * Stays in the foreground; SIGINT, SIGTERM and an unmount end it.
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_INO = 2, MOST_FILES = 64 };

static const double FOREVER_S = 86400;

static struct {
	int fds[MOST_FILES];
	uint64_t lengths[MOST_FILES];
	fuse_ino_t files;
	uint64_t offset;
	uint64_t length;
	unsigned max_write;
	unsigned threads;
	bool clone_fd;
	bool splice;
} loop = {.max_write = 1 << 20, .threads = 1};

static bool is_file(fuse_ino_t ino)
{
	return ino >= FIRST_INO && ino < FIRST_INO + loop.files;
}

static bool attr_of(fuse_ino_t ino, struct stat *st)
{
	memset(st, 0, sizeof *st);
	st->st_ino = ino;
	st->st_uid = getuid();
	st->st_gid = getgid();
	if (ino == FUSE_ROOT_ID) {
		st->st_mode = S_IFDIR | 0555;
		st->st_nlink = 2;
		return true;
	}
	if (!is_file(ino))
		return false;
	st->st_mode = S_IFREG | 0644;
	st->st_nlink = 1;
	st->st_size = (off_t)loop.lengths[ino - FIRST_INO];
	return true;
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_write = loop.max_write;
	conn->max_read = loop.max_write;
	conn->want &= ~(unsigned)(FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_MOVE);
	if (loop.splice)
		conn->want |= conn->capable & FUSE_CAP_SPLICE_READ;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	unsigned long long at;
	int end = 0;
	bool named = sscanf(name, "%llu.bin%n", &at, &end) == 1 && end > 0 && !name[end] && at < loop.files;
	if (parent != FUSE_ROOT_ID || !named) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	struct fuse_entry_param entry = {
		.ino = FIRST_INO + at, .attr_timeout = FOREVER_S, .entry_timeout = FOREVER_S};
	attr_of(entry.ino, &entry.attr);
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

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	uint64_t length = loop.lengths[ino - FIRST_INO];
	uint64_t from = (uint64_t)offset;
	if (from >= length) {
		fuse_reply_buf(req, NULL, 0);
		return;
	}
	if (size > length - from)
		size = length - from;
	static _Thread_local char *buffer;
	if (!buffer)
		buffer = malloc(loop.max_write);
	ssize_t got = buffer ? pread(loop.fds[ino - FIRST_INO], buffer, size, (off_t)(loop.offset + from)) : -1;
	if (got < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_buf(req, buffer, (size_t)got);
}

static void on_write_buf(fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *bytes, off_t offset,
			 struct fuse_file_info *fi)
{
	(void)fi;
	size_t size = fuse_buf_size(bytes);
	if ((uint64_t)offset + size > loop.lengths[ino - FIRST_INO]) {
		fuse_reply_err(req, ENOSPC);
		return;
	}
	struct fuse_bufvec file = FUSE_BUFVEC_INIT(size);
	file.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	file.buf[0].fd = loop.fds[ino - FIRST_INO];
	file.buf[0].pos = (off_t)loop.offset + offset;
	ssize_t put = fuse_buf_copy(&file, bytes, 0);
	if (put < 0)
		fuse_reply_err(req, (int)-put);
	else
		fuse_reply_write(req, (size_t)put);
}

static void on_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	(void)fi;
	int fd = loop.fds[ino - FIRST_INO];
	int status = datasync ? fdatasync(fd) : fsync(fd);
	fuse_reply_err(req, status < 0 ? errno : 0);
}

/* Sizes do not change, and times and modes are not kept. */
static void on_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	if ((to_set & FUSE_SET_ATTR_SIZE) && (!is_file(ino) || (uint64_t)attr->st_size != loop.lengths[ino - FIRST_INO]))
		fuse_reply_err(req, EPERM);
	else
		on_getattr(req, ino, fi);
}

static const struct fuse_lowlevel_ops operations = {
	.init = on_init,
	.lookup = on_lookup,
	.getattr = on_getattr,
	.setattr = on_setattr,
	.open = on_open,
	.read = on_read,
	.write_buf = on_write_buf,
	.fsync = on_fsync,
};

static int serve(struct fuse_session *session)
{
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

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"offset", 1, 0, 'o'},	{"length", 1, 0, 'l'},	 {"max-write", 1, 0, 'm'}, {"splice", 0, 0, 's'},
		{"threads", 1, 0, 't'}, {"clone-fd", 0, 0, 'c'}, {0, 0, 0, 0},
	};
	for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;)
		switch (which) {
		case 'o': loop.offset = strtoull(optarg, NULL, 10); break;
		case 'l': loop.length = strtoull(optarg, NULL, 10); break;
		case 'm': loop.max_write = (unsigned)strtoul(optarg, NULL, 10); break;
		case 's': loop.splice = true; break;
		case 't': loop.threads = (unsigned)strtoul(optarg, NULL, 10); break;
		case 'c': loop.clone_fd = true; break;
		default: return false;
		}
	int files = argc - optind - 1;
	return files >= 1 && files <= MOST_FILES;
}

static bool open_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	uint64_t size = (uint64_t)st.st_size;
	uint64_t length = size > loop.offset ? size - loop.offset : 0;
	loop.fds[loop.files] = fd;
	loop.lengths[loop.files++] = loop.length && loop.length < length ? loop.length : length;
	return true;
}

int main(int argc, char **argv)
{
	if (!parse(argc, argv)) {
		fprintf(stderr, "usage: store MOUNTPOINT FILE... [--offset N] [--length N] [--max-write N] [--splice]"
				" [--threads N] [--clone-fd]\n");
		return 2;
	}
	for (int at = optind + 1; at < argc; at++)
		if (!open_file(argv[at])) {
			perror(argv[at]);
			return 1;
		}
	char options[128];
	snprintf(options, sizeof options, "fsname=store,max_read=%u", loop.max_write);
	char *fuse_argv[] = {argv[0], "-o", options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(3, fuse_argv);
	struct fuse_session *session = fuse_session_new(&args, &operations, sizeof operations, NULL);
	if (!session)
		return 1;
	int status = 1;
	if (fuse_set_signal_handlers(session) == 0 && fuse_session_mount(session, argv[optind]) == 0) {
		status = serve(session) < 0;
		fuse_session_unmount(session);
	}
	fuse_remove_signal_handlers(session);
	fuse_session_destroy(session);
	return status;
}
