"""The first thread has gone and the rest is small: nothing can be measured of it, so it must not live on."""
native_thread(lambda: time.sleep(6) or os._exit(0))
main_thread_goes()
