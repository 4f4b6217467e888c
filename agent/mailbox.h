// The section through which the courier hands a command to the resident and gets its answer. The resident copies the
// body before it looks at it; `state` is the only word that both write.
#pragma once
#include "base.h"

enum { PROTOCOL = 1, MAILBOX_SIZE = 0x20000, APPLY = 1, REVERT = 2, BODY_LIMIT = 1 << 30 };
enum mailbox_state { PENDING, RUNNING, DONE, CANCELLED };
#define MAILBOX_MAGIC 0x584f424d47415048ull

struct mailbox {
    u64 magic;
    u32 protocol, verb;
    volatile i32 state;
    u32 zero;
    u64 body_size; // an order, or the id of a package and `*` for all
    volatile u32 answer_size;
    u32 zeros;
    char answer[MAILBOX_SIZE - 40];
};

_Static_assert(sizeof(struct mailbox) == MAILBOX_SIZE, "the body follows directly");
