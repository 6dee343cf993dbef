// The instructions of Python's pickles, by their names in pickletools.py.
#pragma once

#include <cstdint>
#include <utility>

namespace sr::pickle {

// Those that are understood.
enum Op : uint8_t {
  MARK = '(',
  STOP = '.',
  POP = '0',
  NONE = 'N',
  BININT = 'J',
  BININT1 = 'K',
  BININT2 = 'M',
  BINFLOAT = 'G',
  BINSTRING = 'T',
  SHORT_BINSTRING = 'U',
  BINUNICODE = 'X',
  APPEND = 'a',
  APPENDS = 'e',
  BUILD = 'b',
  GLOBAL = 'c',
  BINGET = 'h',
  LONG_BINGET = 'j',
  BINPUT = 'q',
  LONG_BINPUT = 'r',
  REDUCE = 'R',
  SETITEM = 's',
  SETITEMS = 'u',
  TUPLE = 't',
  EMPTY_TUPLE = ')',
  EMPTY_LIST = ']',
  EMPTY_DICT = '}',
  BINPERSID = 'Q',
  PROTO = 0x80,
  TUPLE1 = 0x85,
  TUPLE2 = 0x86,
  TUPLE3 = 0x87,
  NEWTRUE = 0x88,
  NEWFALSE = 0x89,
  LONG1 = 0x8a,
  SHORT_BINUNICODE = 0x8c,
  BINUNICODE8 = 0x8d,
  STACK_GLOBAL = 0x93,
  MEMOIZE = 0x94,
  FRAME = 0x95
};

// Names of those that are refused, so that the refusal can say which; the rest are given as a byte.
constexpr std::pair<uint8_t, const char*> kRefusedNames[] = {{'i', "INST"},
                                                             {'o', "OBJ"},
                                                             {'P', "PERSID"},
                                                             {'p', "PUT"},
                                                             {'g', "GET"},
                                                             {'I', "INT"},
                                                             {'L', "LONG"},
                                                             {'F', "FLOAT"},
                                                             {'S', "STRING"},
                                                             {'V', "UNICODE"},
                                                             {'l', "LIST"},
                                                             {'d', "DICT"},
                                                             {'1', "POP_MARK"},
                                                             {'2', "DUP"},
                                                             {'B', "BINBYTES"},
                                                             {'C', "SHORT_BINBYTES"},
                                                             {0x81, "NEWOBJ"},
                                                             {0x82, "EXT1"},
                                                             {0x83, "EXT2"},
                                                             {0x84, "EXT4"},
                                                             {0x8b, "LONG4"},
                                                             {0x8e, "BINBYTES8"},
                                                             {0x8f, "EMPTY_SET"},
                                                             {0x90, "ADDITEMS"},
                                                             {0x91, "FROZENSET"},
                                                             {0x92, "NEWOBJ_EX"},
                                                             {0x96, "BYTEARRAY8"},
                                                             {0x97, "NEXT_BUFFER"},
                                                             {0x98, "READONLY_BUFFER"}};

}  // namespace sr::pickle
