// SPDX-License-Identifier: Apache-2.0
#include <jni.h>
#include "../burn.h"
NOI uint64_t weir_leaf(uint64_t n) { uint64_t r = burn(n, 9); KEEP(r); return r; }
JNIEXPORT jlong JNICALL Java_Jnimill_nativeWeir(JNIEnv *e, jclass c, jlong n) { (void)e; (void)c; uint64_t r = weir_leaf(n); KEEP(r); return r; }
JNIEXPORT jlong JNICALL Java_Jnimill_nativeSluice(JNIEnv *e, jclass c, jlong n) {
    static jmethodID m; if (!m) m = (*e)->GetStaticMethodID(e, c, "fromNative", "(J)J");
    jlong r = (*e)->CallStaticLongMethod(e, c, m, n); KEEP(r); return r + 1; }
