/* A program to rehearse with: worker.exe DLL THREADS SECONDS|FILE [EXIT]

   THREADS threads call functions of codec.dll without pause and compare every result with the two that are
   right: that of the baseline and that of the fixed build. After SECONDS, or as soon as FILE is there, it prints
   what the library calls an unknown status, says whether all results were right, and ends with EXIT (9 after a wrong result).
   Only kernel32, no C runtime. */
typedef unsigned long DWORD;
typedef long LONG;
typedef long long LONG64;
typedef void *HANDLE;

#define WINAPI __stdcall
#define IMPORTED(type) __declspec(dllimport) type WINAPI

IMPORTED(HANDLE) LoadLibraryA(const char *name);
IMPORTED(void *) GetProcAddress(HANDLE module, const char *name);
IMPORTED(char *) GetCommandLineA(void);
IMPORTED(HANDLE) GetStdHandle(DWORD which);
IMPORTED(int) WriteFile(HANDLE file, const void *buffer, DWORD size, DWORD *done, void *overlapped);
IMPORTED(HANDLE) CreateThread(void *, unsigned long long, DWORD (WINAPI *start)(void *), void *, DWORD, DWORD *);
IMPORTED(DWORD) WaitForSingleObject(HANDLE object, DWORD milliseconds);
IMPORTED(DWORD) GetFileAttributesA(const char *name);
IMPORTED(void) Sleep(DWORD milliseconds);
IMPORTED(void) ExitProcess(unsigned status);

enum { STDOUT = -11, FOREVER = -1, NOT_THERE = -1 };

enum { FUNCTIONS = 4, MOST_THREADS = 64, ROOM = 64 };

static int (*codec_decode)(const char *, const unsigned char *, unsigned, unsigned char *, unsigned);
static unsigned (*codec_transform)(const unsigned char *, unsigned, unsigned);
static const char *(*codec_status_text)(int);

static volatile LONG64 wrong;
static volatile LONG ending;

/* 'o', 'n' or 'x' of one function. */
static char version_of(int function)
{
    static const unsigned char complement[] = { 10 }, add[] = { 1, 5 };
    unsigned char room[ROOM];
    unsigned value;
    int size;
    switch (function) {
    case 0:
        value = (unsigned char)codec_status_text(-9)[8];
        return value == 'c' ? 'o' : value == 's' ? 'n' : 'x';
    case 1:
        if (codec_transform(add, 2, 10) != 15)
            return 'x';
        value = codec_transform(complement, 1, 0x1234);
        return value == 0 ? 'o' : value == ~0x1234u ? 'n' : 'x';
    case 2:
        size = codec_decode("runlength", (const unsigned char *)"\3a\2", 3, room, ROOM);
        return room[0] != 'a' || room[2] != 'a' ? 'x' : size == 3 ? 'o' : size == -1 ? 'n' : 'x';
    default:
        size = codec_decode("base64", (const unsigned char *)"QUJDR", 5, room, ROOM);
        return room[0] != 'A' || room[2] != 'C' ? 'x' : size == 3 ? 'o' : size == -1 ? 'n' : 'x';
    }
}

static DWORD WINAPI work(void *unused)
{
    (void)unused;
    while (!ending) {
        int bad = 0;
        for (int round = 0; round < 50; round++)
            for (int function = 0; function < FUNCTIONS; function++)
                bad += version_of(function) == 'x';
        __sync_fetch_and_add(&wrong, bad);
    }
    return 0;
}

static char *end_of(char *text)
{
    while (*text)
        text++;
    return text;
}

static void say(const char *text)
{
    DWORD done;
    WriteFile(GetStdHandle((DWORD)STDOUT), text, (DWORD)(end_of((char *)text) - text), &done, 0);
}

static char *word(char **line)
{
    char *start, stop = ' ';
    while (**line == ' ')
        ++*line;
    if (**line == '"')
        stop = *(*line)++;
    for (start = *line; **line && **line != stop; ++*line)
        ;
    if (**line)
        *(*line)++ = 0;
    return start;
}

static int value_of(const char *text)
{
    int value = 0;
    for (; *text >= '0' && *text <= '9'; text++)
        value = 10 * value + *text - '0';
    return value;
}

void start(void)
{
    char *line = GetCommandLineA();
    HANDLE threads[MOST_THREADS];
    HANDLE library;
    char *end;
    int count, status;
    word(&line);
    library = LoadLibraryA(word(&line));
    count = value_of(word(&line));
    end = word(&line);
    status = value_of(word(&line));
    if (!library || count > MOST_THREADS)
        ExitProcess(8);
    codec_decode = (void *)GetProcAddress(library, "codec_decode");
    codec_transform = (void *)GetProcAddress(library, "codec_transform");
    codec_status_text = (void *)GetProcAddress(library, "codec_status_text");
    ((void (*)(int))(void *)GetProcAddress(library, "codec_set_tracing"))(0);
    for (int index = 0; index < count; index++)
        threads[index] = CreateThread(0, 0, work, 0, 0, 0);
    say("ready\n");
    if (*end >= '0' && *end <= '9')
        Sleep((DWORD)value_of(end) * 1000);
    else
        while (GetFileAttributesA(end) == (DWORD)NOT_THERE)
            Sleep(10);
    ending = 1;
    for (int index = 0; index < count; index++)
        WaitForSingleObject(threads[index], (DWORD)FOREVER);
    say(codec_status_text(-9));
    say(wrong ? "\nwrong results\n" : "\nall results right\n");
    ExitProcess(wrong ? 9 : (unsigned)status);
}
