"""What calls of the system answer in a folder: `ordinary-folder.py GROUP FOLDER`, as root, prints a JSON list of [case, answers].

The test runs it in a plain folder and in /activations of a mount, and the answers must be the same. A case makes what it needs as root, then
makes calls as other users. An answer is the name of an errno or what the call gave, and with `seen` what
stat(2) says of everything in the case's folder, and which times rose.
"""
import ctypes, errno, itertools, json, os, stat, sys, time

# uid, gid, supplementary groups. Nobody has to know them.
ROOT = (0, 0, [])
OWNER = (64001, 64001, [64010])
MEMBER = (64002, 64001, [])
EXTRA = (64003, 64003, [64010, 64001])
OTHER = (64004, 64004, [64010])
USERS = {'owner': OWNER, 'member': MEMBER, 'by supplementary group': EXTRA, 'other': OTHER, 'root': ROOT}

NOW, OMIT = (1 << 30) - 1, (1 << 30) - 2
libc = ctypes.CDLL(None, use_errno=True)


class Timespec(ctypes.Structure):
    _fields_ = [('sec', ctypes.c_long), ('nsec', ctypes.c_long)]


def utimens(path, atime, mtime):
    """Each time is (seconds, nanoseconds), NOW or OMIT."""
    pairs = [time if isinstance(time, tuple) else (0, time) for time in (atime, mtime)]
    times = (Timespec * 2)(*[Timespec(*pair) for pair in pairs])
    if libc.utimensat(-100, os.fsencode(path), times, 0) != 0: raise OSError(ctypes.get_errno(), '')


def renameat2(old, new, flags):
    if libc.renameat2(-100, os.fsencode(old), -100, os.fsencode(new), flags) != 0: raise OSError(ctypes.get_errno(), '')


def outcome(call):
    try: return call()
    except OSError as error: return errno.errorcode[error.errno]


def as_user(user, call):
    """What the call gives to this user: JSON, or the name of an errno. Root is kept as the saved user id alone, which no check looks at."""
    uid, gid, groups = user
    os.setgroups(groups)
    os.setresgid(gid, gid, 0)
    os.setresuid(uid, uid, 0)
    try: return outcome(call)
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups([])
        os.chdir('/')


def opened(path, flags, mode=0o644):
    os.close(os.open(path, flags, mode))


def facts(found):
    old = lambda ns: ns if ns < 1_500_000_000 * 10**9 else 'recent'
    directory = stat.S_ISDIR(found.st_mode)
    return {
        'mode': oct(found.st_mode & ~0o6000), 'uid': found.st_uid, 'gid': found.st_gid, 'mtime': old(found.st_mtime_ns),
        # The link count, the size and the reading of folders are the file system's own affair.
        **({} if directory else {'size': found.st_size, 'nlink': found.st_nlink, 'blocks': found.st_blocks, 'atime': old(found.st_atime_ns)}),
    }


def everything(folder):
    found = {}
    for above, folders, files in os.walk(os.fsencode(folder)):
        for path in [above, *(os.path.join(above, name) for name in files)]:
            found[os.fsdecode(os.path.relpath(path, os.fsencode(folder)))] = os.lstat(path)
    return found


class Case:
    def __init__(self, folder):
        self.folder, self.answers = folder, []

    def path(self, *names): return os.path.join(self.folder, *names)

    def file(self, name, user=OWNER, mode=0o644, text=b'0123456789'):
        with open(self.path(name), 'wb') as file: file.write(text)
        os.chown(self.path(name), user[0], user[1])
        os.chmod(self.path(name), mode)
        return self.path(name)

    def dir(self, name, user=OWNER, mode=0o755):
        os.mkdir(self.path(name))
        os.chown(self.path(name), user[0], user[1])
        os.chmod(self.path(name), mode)
        return self.path(name)

    def call(self, user, call, label=''):
        self.answers.append([label, as_user(user, call)])

    def seen(self, user, call, label=''):
        """The same, and what it changed."""
        before = everything(self.folder)
        # The clock of a file system ticks a few times in 10 ms.
        time.sleep(0.012)
        answer = as_user(user, call)
        after = everything(self.folder)
        rose = lambda name, field: name in before and getattr(after[name], field) > getattr(before[name], field)
        self.answers.append([label, answer, {
            name: {**facts(found), 'rose': [field for field in ('st_mtime_ns', 'st_ctime_ns') if rose(name, field)]}
            for name, found in sorted(after.items())
        }])


GROUPS = {}


def group(name):
    def register(cases):
        GROUPS[name] = cases
        return cases
    return register


@group('open')
def open_cases():
    flags = {'r': os.O_RDONLY, 'w': os.O_WRONLY, 'rw': os.O_RDWR, 'cut': os.O_WRONLY | os.O_TRUNC, 'r cut': os.O_RDONLY | os.O_TRUNC}
    for bits in range(8):
        def case(c, bits=bits):
            for place, shift in (('owner', 6), ('member', 3), ('other', 0)):
                c.file(place, mode=bits << shift)
            for (who, user), place, (name, flag) in itertools.product(USERS.items(), ('owner', 'member', 'other'), flags.items()):
                c.call(user, lambda: opened(c.path(place), flag), f'{who} opens the mode for {place} {name}')
        yield f'mode bits {bits}', case

    def creating(c):
        c.dir('open', mode=0o777); c.dir('closed', mode=0o755)
        for mode in (0, 0o400, 0o644, 0o666, 0o777, 0o1644):
            for who, user in USERS.items():
                c.seen(user, lambda: opened(c.path('open', f'{who} {mode:o}'), os.O_CREAT | os.O_RDWR | os.O_EXCL, mode), f'{who} makes {mode:o}')
        for who, user in USERS.items():
            c.call(user, lambda: opened(c.path('closed', who), os.O_CREAT | os.O_RDWR), f'{who} in a closed folder')
        c.call(OWNER, lambda: opened(c.path('open', 'owner 644'), os.O_CREAT | os.O_EXCL), 'there already')
        c.call(OTHER, lambda: opened(c.path('open', 'owner 400'), os.O_CREAT | os.O_RDWR), 'there, and of somebody else')
        c.call(OWNER, lambda: opened(c.path('open', 'owner 400'), os.O_CREAT | os.O_RDWR), 'there, and read-only')
        c.call(OWNER, lambda: opened(c.path('none', 'x'), os.O_CREAT), 'no such folder')
        c.call(OWNER, lambda: opened(c.path('open', 'owner 644', 'x'), os.O_CREAT), 'a file for a folder')
        c.call(OWNER, lambda: opened(c.path('open'), os.O_RDWR), 'a folder for writing')
        c.call(OWNER, lambda: opened(c.path('open'), os.O_CREAT), 'a folder to create')
        c.call(OWNER, lambda: opened(c.path('open', 'owner 644'), os.O_DIRECTORY), 'a file as a folder')
        c.call(OWNER, lambda: opened(c.path('open', 'x' * 255), os.O_CREAT), '255 bytes')
        c.call(OWNER, lambda: opened(c.path('open', 'x' * 256), os.O_CREAT), '256 bytes')
    yield 'creating', creating

    def cutting(c):
        c.file('full'); c.file('empty', text=b'')
        c.seen(OWNER, lambda: opened(c.path('full'), os.O_WRONLY), 'open alone')
        c.seen(OWNER, lambda: opened(c.path('full'), os.O_WRONLY | os.O_TRUNC), 'full')
        c.seen(OWNER, lambda: opened(c.path('empty'), os.O_WRONLY | os.O_TRUNC), 'empty')
        c.seen(OWNER, lambda: opened(c.path('empty'), os.O_WRONLY | os.O_TRUNC | os.O_CREAT), 'empty, to be created if it were not')
    yield 'O_TRUNC', cutting

    def searching(c):
        for bits in range(8):
            for place, shift in (('owner', 6), ('member', 3), ('other', 0)):
                name = f'{place}{bits}'
                c.dir(name); c.file(f'{name}/f', mode=0o666)
                os.chmod(c.path(name), bits << shift)
                for who, user in USERS.items():
                    c.call(user, lambda: opened(c.path(name, 'f'), os.O_RDWR), f'{who} opens in {name}')
                    c.call(user, lambda: sorted(os.listdir(c.path(name))), f'{who} lists {name}')
                    c.call(user, lambda: os.stat(c.path(name, 'f')).st_size, f'{who} looks in {name}')
                    c.call(user, lambda: [os.access(c.path(name, 'f'), mask) for mask in (os.R_OK, os.W_OK, os.X_OK)], f'{who} asks in {name}')
                    c.call(user, lambda: os.chdir(c.path(name)), f'{who} enters {name}')
    yield 'folders of every mode', searching


@group('write')
def write_cases():
    def written(c):
        c.file('f', mode=0o666)
        def write(data, offset, flags=os.O_WRONLY):
            fd = os.open(c.path('f'), flags)
            count = os.pwrite(fd, data, offset)
            os.close(fd)
            return count
        c.seen(OWNER, lambda: write(b'x', 0), 'a byte')
        c.seen(OTHER, lambda: write(b'y', 3), 'by somebody else')
        c.seen(OWNER, lambda: write(b'', 0), 'nothing')
        c.seen(OWNER, lambda: write(b'z', 1 << 20), 'behind a hole')
        c.seen(OWNER, lambda: write(bytes(300000), 5), 'a lot')
        c.seen(OWNER, lambda: write(b'end', 0, os.O_WRONLY | os.O_APPEND), 'at the end')
        c.call(OWNER, lambda: write(b'x', 0, os.O_RDONLY), 'for reading')
    yield 'write', written


@group('truncate')
def truncate_cases():
    def sizes(c):
        c.file('f'); c.file('closed', mode=0o444); c.dir('d')
        for size in (10, 3, 100, 100, 1 << 33, 0, 0): c.seen(OWNER, lambda: os.truncate(c.path('f'), size), f'to {size}')
        c.call(OWNER, lambda: os.truncate(c.path('f'), -1), 'below nothing')
        c.call(ROOT, lambda: os.truncate(c.path('d'), 0), 'a folder')
        c.call(ROOT, lambda: os.truncate(c.path('none'), 0), 'nothing')
        c.call(ROOT, lambda: os.truncate(c.path('f', 'x'), 0), 'below a file')
        for who, user in USERS.items(): c.call(user, lambda: os.truncate(c.path('closed'), 10), f'{who}, read-only')
    yield 'sizes', sizes

    def modes(c):
        for bits in range(8):
            for place, shift in (('owner', 6), ('member', 3), ('other', 0)):
                c.file(f'{place}{bits}', mode=bits << shift)
                for who, user in USERS.items(): c.call(user, lambda: os.truncate(c.path(f'{place}{bits}'), 5), f'{who} cuts {place}{bits}')
    yield 'mode bits', modes


@group('ftruncate')
def ftruncate_cases():
    def sizes(c):
        c.file('f', mode=0o666)
        def cut(size, flags=os.O_RDWR):
            fd = os.open(c.path('f'), flags)
            try: os.ftruncate(fd, size)
            finally: os.close(fd)
        for size in (10, 3, 100, 100, 1 << 33, 0, 0): c.seen(OTHER, lambda: cut(size), f'to {size}')
        c.call(OWNER, lambda: cut(-1), 'below nothing')
        c.call(OWNER, lambda: cut(0, os.O_RDONLY), 'for reading')

        def after(change):
            fd = os.open(c.path('f'), os.O_RDWR)
            change()
            os.ftruncate(fd, 7)
            size = os.fstat(fd).st_size
            os.close(fd)
            return size
        c.seen(OWNER, lambda: after(lambda: os.chmod(c.path('f'), 0)), 'a descriptor goes on when the mode does not allow it')
        c.seen(OWNER, lambda: after(lambda: os.unlink(c.path('f'))) if os.chmod(c.path('f'), 0o600) is None else None, 'and when the name is gone')
    yield 'sizes', sizes


@group('unlink')
def unlink_cases():
    def names(c):
        c.file('f'); c.dir('d'); c.file('d/g')
        c.call(ROOT, lambda: os.unlink(c.path('d')), 'a folder')
        c.call(ROOT, lambda: os.unlink(c.path('none')), 'nothing')
        c.call(ROOT, lambda: os.unlink(c.path('f', 'x')), 'below a file')
        c.call(ROOT, lambda: os.unlink(c.path('x' * 256)), '256 bytes')
        c.seen(OWNER, lambda: os.unlink(c.path('d', 'g')), 'a file')
    yield 'names', names

    def folders(c):
        for bits, sticky in itertools.product((0, 2, 3, 7), (0, 0o1000)):
            for place, shift in (('owner', 6), ('member', 3), ('other', 0)):
                for whose, of in (('owner', OWNER), ('other', OTHER)):
                    for who, user in USERS.items():
                        name = f'{place} {bits} {sticky:o} {whose} {who}'
                        c.dir(name); c.file(f'{name}/f', of)
                        os.chmod(c.path(name), sticky | bits << shift)
                        c.call(user, lambda: os.unlink(c.path(name, 'f')), name)
    yield 'folders of every mode, sticky and not, with files of oneself and of others', folders

    def still_open(c):
        path = c.file('f')
        def gone():
            fd = os.open(path, os.O_RDWR)
            before = os.fstat(fd)
            time.sleep(0.012)
            os.unlink(path)
            middle = os.fstat(fd)
            time.sleep(0.012)
            os.fchmod(fd, 0o600)
            changed = os.fstat(fd)
            utimens(f'/proc/self/fd/{fd}', (5, 123456789), (-5, 1))
            after = os.fstat(fd)
            os.close(fd)
            return [middle.st_nlink, middle.st_ctime_ns > before.st_ctime_ns, middle.st_mtime_ns == before.st_mtime_ns,
                    oct(changed.st_mode), changed.st_ctime_ns > middle.st_ctime_ns, after.st_atime_ns, after.st_mtime_ns]
        c.call(ROOT, gone, 'an open file')
    yield 'an open file', still_open


@group('rename')
def rename_cases():
    def kinds(c):
        for name in ('f', 'g'): c.file(name)
        for name in ('d', 'e', 'full'): c.dir(name)
        c.file('full/x')
        for old, new in (('f', 'd'), ('d', 'f'), ('d', 'full'), ('d', 'd/below'), ('none', 'f'), ('f', 'none/x'), ('f', 'g/x'), ('d', 'd'), ('f', 'f'), ('f', 'x' * 256), ('f', 'x' * 255), ('x' * 255, 'f')):
            c.call(ROOT, lambda: os.rename(c.path(old), c.path(new)), f'{old[:9]} to {new[:9]}')
        c.seen(ROOT, lambda: os.rename(c.path('f'), c.path('g')), 'over a file')
        c.seen(ROOT, lambda: os.rename(c.path('d'), c.path('e')), 'over an empty folder')
        c.seen(ROOT, lambda: os.rename(c.path('g'), c.path('e', 'g')), 'into a folder')
        c.seen(ROOT, lambda: os.rename(c.path('full'), c.path('e', 'full')), 'a folder into another')
    yield 'kinds', kinds

    def no_replace(c):
        c.dir('e'); c.file('f')
        c.call(ROOT, lambda: renameat2(c.path('e'), c.path('n'), 1), 'nothing there')
        c.call(ROOT, lambda: renameat2(c.path('f'), c.path('n'), 1), 'a folder there')
    yield 'RENAME_NOREPLACE', no_replace

    def folders(c):
        for bits, sticky in itertools.product((0, 2, 3, 7), (0, 0o1000)):
            for place, shift in (('owner', 6), ('member', 3), ('other', 0)):
                for whose, of in (('owner', OWNER), ('other', OTHER)):
                    for who, user in USERS.items():
                        name = f'{place} {bits} {sticky:o} {whose} {who}'
                        c.dir(name); c.dir(f'{name} to'); c.file(f'{name}/f', of); c.file(f'{name}/over', of)
                        for folder in (name, f'{name} to'): os.chmod(c.path(folder), sticky | bits << shift)
                        c.call(user, lambda: os.rename(c.path(name, 'f'), c.path(f'{name} to', 'f')), f'{name} out')
                        c.call(user, lambda: os.rename(c.path(name, 'f'), c.path(name, 'over')), f'{name} over')
    yield 'folders of every mode, sticky and not', folders

    def moved(c):
        for who, user in USERS.items():
            c.dir(f'{who} from', mode=0o777); c.dir(f'{who} to', mode=0o777); c.dir(f'{who} from/d', mode=0o755)
            c.call(user, lambda: os.rename(c.path(f'{who} from', 'd'), c.path(f'{who} to', 'd')), f'{who} gives a folder another parent')
    yield 'a folder of somebody else', moved


@group('mkdir')
def mkdir_cases():
    def made(c):
        c.dir('open', mode=0o777); c.file('f')
        for mode in (0, 0o700, 0o755, 0o777, 0o1777):
            for who, user in USERS.items(): c.seen(user, lambda: os.mkdir(c.path('open', f'{who} {mode:o}'), mode), f'{who} makes {mode:o}')
        for name in ('open', 'f', 'none/x', 'f/x', 'x' * 256, 'x' * 255): c.call(ROOT, lambda: os.mkdir(c.path(name)), name[:9])
    yield 'names and modes', made

    def folders(c):
        for bits in range(8):
            for place, shift in (('owner', 6), ('member', 3), ('other', 0)):
                for who, user in USERS.items():
                    c.dir(f'{place}{bits}{who}')
                    os.chmod(c.path(f'{place}{bits}{who}'), bits << shift)
                    c.call(user, lambda: os.mkdir(c.path(f'{place}{bits}{who}', 'd')), f'{who} in {place}{bits}')
    yield 'folders of every mode', folders


@group('rmdir')
def rmdir_cases():
    def names(c):
        c.dir('d'); c.dir('full'); c.file('full/x'); c.file('f')
        for name in ('full', 'f', 'none', 'f/x', 'd/.', 'full/..', 'x' * 256): c.call(ROOT, lambda: os.rmdir(c.path(name)), name[:9])
        c.seen(ROOT, lambda: os.rmdir(c.path('d')), 'd')
    yield 'names', names

    def folders(c):
        for bits, sticky in itertools.product((0, 2, 3, 7), (0, 0o1000)):
            for place, shift in (('owner', 6), ('member', 3), ('other', 0)):
                for whose, of in (('owner', OWNER), ('other', OTHER)):
                    for who, user in USERS.items():
                        name = f'{place} {bits} {sticky:o} {whose} {who}'
                        c.dir(name); c.dir(f'{name}/d', of)
                        os.chmod(c.path(name), sticky | bits << shift)
                        c.call(user, lambda: os.rmdir(c.path(name, 'd')), name)
    yield 'folders of every mode, sticky and not', folders


@group('chmod')
def chmod_cases():
    def changed(c):
        c.file('f'); c.dir('d')
        for name, mode in itertools.product('fd', (0, 0o111, 0o644, 0o777, 0o1777)):
            for who, user in USERS.items(): c.seen(user, lambda: os.chmod(c.path(name), mode), f'{who} gives {name} {mode:o}')
        c.seen(OWNER, lambda: os.chmod(c.path('d'), 0o755), 'd 755')
        c.seen(OWNER, lambda: os.chmod(c.path('d'), 0o755), 'the same once more')
        for name in ('none', 'f/x', 'x' * 256): c.call(ROOT, lambda: os.chmod(c.path(name), 0o600), name[:9])

        def by_descriptor(flags):
            fd = os.open(c.path('f'), flags)
            os.fchmod(fd, 0o604)
            os.close(fd)
        c.seen(OWNER, lambda: by_descriptor(os.O_RDONLY), 'by a descriptor')
    yield 'modes', changed

    def below(c):
        c.dir('d'); c.file('d/f')
        os.chmod(c.path('d'), 0o600)
        for who, user in USERS.items(): c.call(user, lambda: os.chmod(c.path('d', 'f'), 0o600), f'{who} in a folder that cannot be searched')
    yield 'a folder in between', below


@group('set-id')
def set_id_cases():
    """The bits that are not kept: `facts` leaves them out."""
    def changed(c):
        c.file('f', mode=0o777); c.dir('d', mode=0o777)
        for name, mode in itertools.product('fd', (0o4755, 0o2755, 0o6777, 0o7777)):
            for who, user in USERS.items(): c.seen(user, lambda: os.chmod(c.path(name), mode), f'{who} gives {name} {mode:o}')
        # A folder without the bit: below one that has it, names inherit its group.
        c.dir('e', mode=0o777)
        for who, user in USERS.items(): c.seen(user, lambda: os.mkdir(c.path('e', who), 0o2777), f'{who} makes a folder')
        for who, user in USERS.items(): c.seen(user, lambda: opened(c.path('e', f'{who} f'), os.O_CREAT, 0o6777), f'{who} makes a file')
    yield 'modes', changed


@group('chown')
def chown_cases():
    ids = (-1, 0, 64001, 64003, 64010)
    for kind in ('file', 'dir'):
        def owners(c, kind=kind):
            for number, (who, uid, gid) in enumerate(itertools.product(USERS, ids, ids)):
                name = str(number)
                getattr(c, kind)(name)
                c.call(USERS[who], lambda: os.chown(c.path(name), uid, gid), f'{who} gives a {kind} to {uid}:{gid}')
                found = os.stat(c.path(name))
                c.answers.append([found.st_uid, found.st_gid, oct(found.st_mode)])
        yield f'owners and groups of a {kind}', owners

    def times(c):
        c.file('f'); c.dir('d')
        for name in 'fd':
            c.seen(OWNER, lambda: os.chown(c.path(name), -1, 64010), f'{name}, a group of his')
            c.seen(OWNER, lambda: os.chown(c.path(name), 64001, 64010), f'{name}, the same')
            c.seen(OWNER, lambda: os.chown(c.path(name), -1, -1), f'{name}, nothing by its owner')
            c.seen(OTHER, lambda: os.chown(c.path(name), -1, -1), f'{name}, nothing by somebody else')
            c.seen(OTHER, lambda: os.chown(c.path(name), -1, 64004), f'{name}, by somebody else')
            c.seen(ROOT, lambda: os.chown(c.path(name), 64004, 64004), f'{name}, by root')
    yield 'times', times


@group('utimensat')
def utimensat_cases():
    A, B = (1_000_000_000, 123456789), (1_100_000_000, 987654321)
    pairs = {
        'both': (A, B), 'the first': (A, OMIT), 'the second': (OMIT, B), 'neither': (OMIT, OMIT), 'now': (NOW, NOW),
        'now and not': (NOW, OMIT), 'not and now': (OMIT, NOW), 'now and a time': (NOW, B), 'before 1970': ((-1, 999999999), (-86400, 1)),
        '1970': ((0, 0), (0, 0)), '1910': ((-1893456000, 5), (-1893456000, 6)), 'a nanosecond': ((0, 1), (0, 999999999)),
    }
    for kind in ('file', 'dir'):
        def times(c, kind=kind):
            getattr(c, kind)('x', mode=0o666)
            for (who, user), (label, pair) in itertools.product(USERS.items(), pairs.items()):
                os.utime(c.path('x'), (7, 8))
                c.seen(user, lambda: utimens(c.path('x'), *pair), f'{who}: {label}')
        yield f'times of a {kind} that everybody may write', times

    def closed(c):
        c.file('x', mode=0o444)
        for (who, user), (label, pair) in itertools.product(USERS.items(), pairs.items()):
            c.call(user, lambda: utimens(c.path('x'), *pair), f'{who}: {label}')
        c.call(OWNER, lambda: utimens(c.path('none'), A, B), 'nothing')
        c.call(OWNER, lambda: utimens(c.path('x'), (1, 2_000_000_000), B), 'too many nanoseconds')
    yield 'times of a file that its owner may not write', closed

    def open_file(c):
        path = c.file('x')
        def by_descriptor():
            fd = os.open(path, os.O_RDWR)
            os.write(fd, b'x')
            os.utime(fd, ns=(5 * 10**9 + 1, -7))
            found = os.fstat(fd)
            os.close(fd)
            return [found.st_atime_ns, found.st_mtime_ns]
        c.seen(OWNER, by_descriptor, 'by a descriptor')
    yield 'an open file', open_file


@group('names')
def names_cases():
    raw = [b'\xff', b'\xfe', b'a\xc3', b'\xc3\xa4', b'\xed\xb3\xbf', b'\xef\xbf\xbd', b'x\xf0\x9f\x98.npy', b'\n', b'\\', bytes(range(128, 192)), b'\xff' * 255]
    def bytes_of_every_kind(c):
        os.mkdir(c.path('d'))
        above = os.fsencode(c.path('d')) + b'/'
        listed = lambda: sorted(name.hex() for name in os.listdir(above))
        def contents(path):
            with open(path, 'rb') as file: return file.read().hex()
        for name in raw:
            def make():
                with open(above + name, 'xb') as file: file.write(name)
            c.call(ROOT, make, name.hex()[:20])
        # The virtual CSV beside an array is no name of an ordinary folder.
        c.call(ROOT, lambda: [name for name in listed() if not name.endswith(b'.csv'.hex())], 'listed')
        for name in raw: c.call(ROOT, lambda: contents(above + name), f'read {name.hex()[:20]}')
        c.call(ROOT, lambda: os.mkdir(above + b'\xff'), 'there already')
        c.call(ROOT, lambda: os.mkdir(above + b'd\xff'), 'a folder')
        c.call(ROOT, lambda: os.rename(above + b'\xff', above + b'd\xff/\xfd'), 'moved')
        c.call(ROOT, lambda: contents(above + b'd\xff/\xfd'), 'read there')
        c.call(ROOT, lambda: os.rmdir(above + b'd\xff'), 'not empty')
        c.call(ROOT, lambda: os.chmod(above + b'\xfe', 0o600), 'chmod')
        c.call(ROOT, lambda: os.unlink(above + b'd\xff/\xfd'), 'removed')
        c.call(ROOT, lambda: os.rmdir(above + b'd\xff'), 'and its folder')
        for name in raw[1:]: c.call(ROOT, lambda: os.unlink(above + name), f'unlink {name.hex()[:20]}')
        c.call(ROOT, listed, 'nothing is left')
    yield 'bytes of every kind', bytes_of_every_kind


def main():
    name, folder = sys.argv[1:]
    os.umask(0o022)
    results = []
    for number, (title, run) in enumerate(GROUPS[name]()):
        place = os.path.join(folder, f'{name}-{number}')
        os.mkdir(place)
        # Everybody may make names in it.
        os.chmod(place, 0o777)
        case = Case(place)
        run(case)
        results.append([title, case.answers])
    print(json.dumps(results))


main()
