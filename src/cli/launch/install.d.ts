/** Runs `body` while no other process of this clone runs one under the same name. @param doing what the other one does, for who waits */
export function withLock<T>(root: string, body: () => Promise<T>, name?: string, doing?: string): Promise<T>
