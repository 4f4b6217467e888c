// SHA-256 (FIPS 180-4).
#pragma once
#include "base.h"

void sha256(const u8 *bytes, u64 size, u8 digest[32]);
