/** Runs `body` under a lock of the clone. @param doing what the holder of the lock is doing, for the message of a process that waits */
export function withLock<T>(root: string, body: () => Promise<T>, name?: string, doing?: string): Promise<T>
