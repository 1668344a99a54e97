/** A block of an event stream: an event, or only an id. */
export type StreamBlock = {
  /** `message` where the block names no event. */
  readonly event: string
  /** Null in a block without data: that is no event. */
  readonly data: string | null
  /** The last id so far; '' where there was none. */
  readonly id: string
}

/**
 * Returns a function that takes the text of an event stream, cut anywhere, and returns the blocks that are complete by then. A block counts when
 * the blank line behind it has arrived, and so does its id: a client that goes on behind an id has had everything before.
 * `retry` is not read. Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
 */
export function createEventParser(): (text: string) => StreamBlock[] {
  /** A line whose end has not arrived. */
  let line = ''
  /** The text so far ends in CR: an LF now belongs to it. */
  let isAfterCr = false
  let [event, id, hasId] = ['', '', false]
  let data: string[] = []

  const readLine = (text: string): void => {
    const colon = text.indexOf(':')
    const [name, value] =
      colon === -1 ? [text, ''] : [text.slice(0, colon), text.slice(text[colon + 1] === ' ' ? colon + 2 : colon + 1)]
    if (name === 'event') event = value
    else if (name === 'data') data.push(value)
    else if (name === 'id' && !value.includes('\0')) [id, hasId] = [value, true]
    // Any other is a comment, or of a later version.
  }
  const endBlock = (): StreamBlock | undefined => {
    const block = { event: event || 'message', data: data.length === 0 ? null : data.join('\n'), id }
    const isOne = hasId || data.length > 0
    ;[event, hasId, data] = ['', false, []]
    return isOne ? block : undefined
  }

  return (text) => {
    if (text === '') return []
    const own = isAfterCr && text.startsWith('\n') ? text.slice(1) : text
    isAfterCr = text.endsWith('\r')
    const lines = own.split(/\r\n|\n|\r/)
    lines[0] = line + lines[0]
    line = lines.pop() ?? ''
    const blocks: StreamBlock[] = []
    for (const one of lines) {
      if (one !== '') {
        readLine(one)
        continue
      }
      const block = endBlock()
      if (block !== undefined) blocks.push(block)
    }
    return blocks
  }
}
