/*
 * The C loop for directory walks: what a plain libfuse3 low-level loop can do with a whole tree on this machine.
 *
 * Serves the tree that a listing describes, from memory, and knows nothing else: names in one buffer, nodes in one
 * array in which the children of a folder are neighbours, and a hash of (folder, name). The kernel may keep every
 * answer for a day, as in a mount of MLFS, and is asked not to send OPENDIR. Files have zeros as their content, so
 * that no disk and no page cache is in the way of open, read and close.
 *
 *   tree LISTING MOUNTPOINT [--threads N]
 *
 * A line of LISTING is TYPE, SIZE and PATH with tabs between them, a folder before what is in it: the output of
 * `find FOLDER -mindepth 1 -printf '%y\t%s\t%P\n'`. Stays in the foreground; SIGINT, SIGTERM and an unmount end it.
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 312
#include <errno.h>
#include <fuse_lowlevel.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const double FOREVER_S = 86400;
enum { LARGEST_READ = 1 << 20 };

struct node {
	const char *name;
	uint64_t size;
	uint32_t parent;
	uint32_t first_child;
	uint32_t children;
	bool is_folder;
};

/* The inode number of a node is its place in `nodes` plus 1: the root is the first. */
static struct {
	struct node *nodes;
	uint32_t count;
	uint32_t *slots; /* place of a node plus 1, or 0 for a free slot */
	uint32_t mask;
	unsigned threads;
	time_t started;
} tree = {.threads = 1};

static char zeros[LARGEST_READ];

static uint32_t hash_of(uint32_t parent, const char *name, size_t length)
{
	uint32_t hash = 2166136261u ^ parent * 2654435761u;
	for (size_t at = 0; at < length; at++)
		hash = (hash ^ (unsigned char)name[at]) * 16777619u;
	return hash ^ hash >> 15;
}

/* The place of the node plus 1; 0 if there is none. */
static uint32_t find_child(uint32_t parent, const char *name, size_t length)
{
	for (uint32_t slot = hash_of(parent, name, length) & tree.mask; tree.slots[slot]; slot = (slot + 1) & tree.mask) {
		const struct node *node = &tree.nodes[tree.slots[slot] - 1];
		if (node->parent == parent && strncmp(node->name, name, length) == 0 && node->name[length] == '\0')
			return tree.slots[slot];
	}
	return 0;
}

static void index_node(uint32_t place)
{
	const struct node *node = &tree.nodes[place];
	uint32_t slot = hash_of(node->parent, node->name, strlen(node->name)) & tree.mask;
	while (tree.slots[slot])
		slot = (slot + 1) & tree.mask;
	tree.slots[slot] = place + 1;
}

static void attr_of(uint32_t place, struct stat *st)
{
	const struct node *node = &tree.nodes[place];
	*st = (struct stat){
		.st_ino = place + 1,
		.st_mode = node->is_folder ? S_IFDIR | 0555 : S_IFREG | 0444,
		.st_nlink = node->is_folder ? 2 : 1,
		.st_size = node->is_folder ? 0 : (off_t)node->size,
		.st_blocks = node->is_folder ? 0 : (blkcnt_t)((node->size + 511) / 512),
		.st_uid = getuid(),
		.st_gid = getgid(),
		.st_mtime = tree.started,
	};
}

static struct fuse_entry_param entry_of(uint32_t place)
{
	struct fuse_entry_param entry = {.ino = place + 1, .attr_timeout = FOREVER_S, .entry_timeout = FOREVER_S};
	attr_of(place, &entry.attr);
	return entry;
}

static void on_init(void *userdata, struct fuse_conn_info *conn)
{
	(void)userdata;
	conn->max_read = LARGEST_READ;
	conn->want |= conn->capable & FUSE_CAP_PARALLEL_DIROPS;
}

static void on_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	uint32_t found = find_child((uint32_t)parent - 1, name, strlen(name));
	if (!found) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	struct fuse_entry_param entry = entry_of(found - 1);
	fuse_reply_entry(req, &entry);
}

static void on_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	(void)ino;
	(void)lookups;
	fuse_reply_none(req);
}

static void on_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)fi;
	struct stat st;
	attr_of((uint32_t)ino - 1, &st);
	fuse_reply_attr(req, &st, FOREVER_S);
}

/* ENOSYS: the kernel sends no OPENDIR any more, and keeps listings. */
static void on_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, ENOSYS);
}

static void on_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	fi->keep_cache = 1;
	fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static void on_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	(void)ino;
	(void)fi;
	fuse_reply_err(req, 0);
}

static void on_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	(void)fi;
	uint64_t length = tree.nodes[ino - 1].size;
	uint64_t left = (uint64_t)offset < length ? length - (uint64_t)offset : 0;
	if (size > left)
		size = left;
	fuse_reply_buf(req, zeros, size < LARGEST_READ ? size : LARGEST_READ);
}

/* The offset of an entry is the number of entries up to it. */
static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
	const struct node *folder = &tree.nodes[ino - 1];
	if (!folder->is_folder) {
		fuse_reply_err(req, ENOTDIR);
		return;
	}
	char *page = malloc(size);
	if (!page) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	size_t used = 0;
	for (uint64_t at = (uint64_t)offset; at < folder->children; at++) {
		uint32_t place = folder->first_child + (uint32_t)at;
		struct fuse_entry_param entry = entry_of(place);
		const char *name = tree.nodes[place].name;
		off_t next = (off_t)at + 1;
		size_t need = plus ? fuse_add_direntry_plus(req, page + used, size - used, name, &entry, next)
				   : fuse_add_direntry(req, page + used, size - used, name, &entry.attr, next);
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
	.forget = on_forget,
	.getattr = on_getattr,
	.opendir = on_opendir,
	.open = on_open,
	.release = on_release,
	.read = on_read,
	.readdir = on_readdir,
	.readdirplus = on_readdirplus,
};

/* A line of the listing, cut into its fields. */
struct line {
	char *path;
	uint64_t size;
	bool is_folder;
};

static char *read_all(const char *path)
{
	FILE *file = fopen(path, "re");
	struct stat st;
	if (!file || fstat(fileno(file), &st) < 0)
		return NULL;
	char *text = malloc((size_t)st.st_size + 1);
	size_t got = text ? fread(text, 1, (size_t)st.st_size, file) : 0;
	fclose(file);
	if (text)
		text[got] = '\0';
	return text;
}

static uint32_t cut_lines(char *text, struct line **lines)
{
	uint32_t count = 0;
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		count++;
	*lines = calloc(count + 1, sizeof **lines);
	char *rest = text;
	for (uint32_t at = 0; *lines && at < count; at++) {
		char *line = strsep(&rest, "\n");
		char *type = strsep(&line, "\t"), *size = strsep(&line, "\t");
		if (!type || !size || !line)
			return 0;
		(*lines)[at] = (struct line){line, strtoull(size, NULL, 10), *type == 'd'};
	}
	return *lines ? count : 0;
}

/*
 * Nodes in the order of the listing first, so that a folder can be found by its path; then in the order of their
 * folders, so that the children of each are neighbours.
 */
static bool build(const char *listing)
{
	char *text = read_all(listing);
	struct line *lines;
	uint32_t count = text ? cut_lines(text, &lines) : 0;
	if (!count)
		return false;
	tree.count = count + 1;
	tree.mask = 1;
	while (tree.mask < 2 * tree.count)
		tree.mask <<= 1;
	tree.slots = calloc(tree.mask, sizeof *tree.slots);
	tree.mask--;
	struct node *listed = calloc(tree.count, sizeof *listed);
	tree.nodes = listed;
	if (!tree.slots || !listed)
		return false;
	listed[0] = (struct node){.name = "", .parent = UINT32_MAX, .is_folder = true};
	for (uint32_t at = 0; at < count; at++) {
		uint32_t parent = 0;
		char *name = lines[at].path;
		for (char *slash; (slash = strchr(name, '/')); name = slash + 1) {
			parent = find_child(parent, name, (size_t)(slash - name));
			if (!parent--)
				return false;
		}
		listed[at + 1] = (struct node){name, lines[at].size, parent, 0, 0, lines[at].is_folder};
		listed[parent].children++;
		index_node(at + 1);
	}
	uint32_t *place_of = calloc(tree.count, sizeof *place_of), *filled = calloc(tree.count, sizeof *filled);
	struct node *sorted = calloc(tree.count, sizeof *sorted);
	if (!place_of || !filled || !sorted)
		return false;
	uint32_t next = 1;
	for (uint32_t at = 0; at < tree.count; at++) {
		listed[at].first_child = next;
		next += listed[at].children;
	}
	for (uint32_t at = 1; at < tree.count; at++) {
		uint32_t parent = listed[at].parent;
		place_of[at] = listed[parent].first_child + filled[parent]++;
	}
	memset(tree.slots, 0, (tree.mask + (size_t)1) * sizeof *tree.slots);
	tree.nodes = sorted;
	for (uint32_t at = 0; at < tree.count; at++) {
		struct node *node = &sorted[place_of[at]];
		*node = listed[at];
		if (at)
			node->parent = place_of[listed[at].parent];
	}
	for (uint32_t at = 1; at < tree.count; at++)
		index_node(at);
	free(listed);
	free(place_of);
	free(filled);
	free(lines);
	tree.started = time(NULL);
	return true;
}

static int serve(struct fuse_session *session)
{
	if (tree.threads <= 1)
		return fuse_session_loop(session);
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	fuse_loop_cfg_set_clone_fd(config, 1);
	fuse_loop_cfg_set_max_threads(config, tree.threads);
	fuse_loop_cfg_set_idle_threads(config, tree.threads);
	int status = fuse_session_loop_mt(session, config);
	fuse_loop_cfg_destroy(config);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"threads", 1, 0, 't'}, {0, 0, 0, 0}};
	for (int which; (which = getopt_long(argc, argv, "", options, NULL)) != -1;)
		if (which == 't')
			tree.threads = (unsigned)strtoul(optarg, NULL, 10);
		else
			return 2;
	if (argc - optind != 2) {
		fprintf(stderr, "usage: tree LISTING MOUNTPOINT [--threads N]\n");
		return 2;
	}
	if (!build(argv[optind])) {
		fprintf(stderr, "tree: %s: is not a listing of a tree\n", argv[optind]);
		return 1;
	}
	char *fuse_argv[] = {argv[0], "-o", "ro,fsname=tree,max_read=1048576", NULL};
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
