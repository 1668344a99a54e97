import { NODE, nodeClass, delegate } from './node.ts'

/** A name, and a value that is taken as it is. What else there may be, Node knows. Source: RFC 9110, 5.1 and 5.5. */
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/i
const VALUE = /^(?:[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?)?$/

type Entry = readonly [name: string, value: string]

/** Headers of plain text, in a map, until something is asked that only Node's own answer. */
export class LightHeaders {
  /** By their names in lower case; each with its name as it was given, which goes over a wire so. */
  #entries = new Map<string, Entry>()
  #sorted: Entry[] | undefined
  #node: Headers | undefined

  /** Undefined: not as simple as that. */
  static from(init: unknown): LightHeaders | undefined {
    const light = new LightHeaders()
    if (init === undefined) return light
    if (init instanceof LightHeaders) {
      if (init.#node !== undefined) return undefined
      light.#entries = new Map(init.#entries)
      return light
    }
    if (
      typeof init !== 'object' ||
      init === null ||
      Object.getPrototypeOf(init) !== Object.prototype ||
      Object.getOwnPropertySymbols(init).length > 0
    )
      return undefined
    // Node skips `__proto__` of an object, and only there.
    for (const [name, value] of Object.entries(init))
      if (name === '__proto__' || !light.#append(name, value)) return undefined
    return light
  }

  /** These stand for it from now on. */
  become(node: Headers): void {
    this.#node = node
  }

  [NODE](): Headers {
    this.#node ??= new (nodeClass('Headers'))([...this.#entries.values()] as [string, string][])
    return this.#node
  }

  get(name: string): string | null {
    return this.#isHere(name) ? (this.#entries.get(name.toLowerCase())?.[1] ?? null) : this[NODE]().get(name)
  }

  has(name: string): boolean {
    return this.#isHere(name) ? this.#entries.has(name.toLowerCase()) : this[NODE]().has(name)
  }

  set(name: string, value: string): void {
    if (!this.#isHere(name) || !isPlain(name, value)) return this[NODE]().set(name, value)
    this.#entries.set(name.toLowerCase(), [name, value])
    this.#sorted = undefined
  }

  append(name: string, value: string): void {
    if (!this.#isHere(name) || !this.#append(name, value)) this[NODE]().append(name, value)
  }

  delete(name: string): void {
    if (!this.#isHere(name)) return this[NODE]().delete(name)
    this.#entries.delete(name.toLowerCase())
    this.#sorted = undefined
  }

  getSetCookie(): string[] {
    return this.#node?.getSetCookie() ?? []
  }

  /** Sees what changes meanwhile, as Node's own do. */
  *entries(): Generator<[string, string]> {
    for (let at = 0; ; at++) {
      const entry = this.#all()[at]
      if (entry === undefined) return
      yield [...entry]
    }
  }

  *keys(): Generator<string> {
    for (const [name] of this.entries()) yield name
  }

  *values(): Generator<string> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): Generator<[string, string]> {
    return this.entries()
  }

  forEach(callback: (value: string, name: string, headers: Headers) => void, self?: unknown): void {
    if (typeof callback !== 'function') return this[NODE]().forEach(callback)
    for (const [name, value] of this.entries()) callback.call(self, value, name, this)
  }

  get [Symbol.toStringTag](): string {
    return 'Headers'
  }

  #isHere(name: unknown): name is string {
    return this.#node === undefined && typeof name === 'string' && NAME.test(name)
  }

  #append(name: string, value: unknown): boolean {
    if (!isPlain(name, value)) return false
    const key = name.toLowerCase()
    const former = this.#entries.get(key)
    this.#entries.set(
      key,
      former === undefined ? [name, value] : [former[0], former[1] + (key === 'cookie' ? '; ' : ', ') + value],
    )
    this.#sorted = undefined
    return true
  }

  #all(): readonly Entry[] {
    if (this.#node !== undefined) return [...this.#node]
    this.#sorted ??= [...this.#entries]
      .map(([key, [, value]]): Entry => [key, value])
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
    return this.#sorted
  }
}

/** Several cookies are not one line: that is left to Node. */
function isPlain(name: string, value: unknown): value is string {
  return NAME.test(name) && name.toLowerCase() !== 'set-cookie' && typeof value === 'string' && VALUE.test(value)
}

delegate(LightHeaders, { getters: [], methods: [Symbol.for('nodejs.util.inspect.custom')] })
