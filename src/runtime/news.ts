/**
 * Tells what is worth a log line of something that lasts: asked with what is wrong now (undefined: nothing), it answers `new` when that was
 * not so before, `over` when nothing is wrong any more, and undefined while nothing changes.
 */
export function createNews(): (what: string | undefined) => 'new' | 'over' | undefined {
  let known: string | undefined
  return (what) => {
    const [former] = [known, (known = what)]
    if (what === former) return undefined
    return what === undefined ? 'over' : 'new'
  }
}
