/** The classes that have a light one. */
export type Name = 'Headers' | 'Request' | 'Response'

/** Node's own class of the name. Not before it is needed: naming one loads all. */
export function nodeClass<N extends Name>(name: N): (typeof globalThis)[N] {
  return Reflect.get(globalThis, name)
}

/** A light object's method that answers with the object of Node's own which stands for it from then on. */
export const NODE = Symbol('node')

/** A light object as one of Node's own; anything else as it is. */
export function toNode(value: unknown): unknown {
  return typeof value === 'object' && value !== null && NODE in value && typeof value[NODE] === 'function'
    ? (value as { [NODE]: () => unknown })[NODE]()
    : value
}

/** Gives a light class those members that only Node's own objects have, or have more of. */
export function delegate(
  light: { readonly prototype: object },
  { getters, methods }: { readonly getters: readonly string[]; readonly methods: readonly (string | symbol)[] },
): void {
  for (const name of getters) {
    Object.defineProperty(light.prototype, name, {
      configurable: true,
      enumerable: true,
      get(this: object) {
        return Reflect.get(toNode(this) as object, name) as unknown
      },
    })
  }
  for (const name of methods) {
    Object.defineProperty(light.prototype, name, {
      configurable: true,
      enumerable: typeof name === 'string',
      writable: true,
      value(this: object, ...args: unknown[]) {
        const node = toNode(this) as Record<string | symbol, (...args: unknown[]) => unknown>
        return node[name]?.(...args)
      },
    })
  }
}
