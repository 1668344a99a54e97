import { readBody, type Notification } from '../../src/protocol/index.ts'
import type { Store } from '../../src/store/index.ts'

/** Returns the notifications of a parked entry, as a replay would send them. */
export async function readParked({ read }: Pick<Store, 'read'>, id = ''): Promise<Notification[]> {
  const [message] = await read.parkedMessages([id])
  return message === undefined ? [] : readBody(message.body, message.contentEncoding)
}
