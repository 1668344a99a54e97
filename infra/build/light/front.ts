import { nodeClass, toNode, type Name } from './node.ts'

type Light = (new (...args: never[]) => object) & { readonly from: (...args: never[]) => object | undefined }

/**
 * Node's own class as a bundle sees it: `new` makes a light object where that does, and everything else is Node's own: what it makes, its
 * static methods, `extends`. Light objects are instances of it as well.
 */
export function front<N extends Name>(name: N, light: Light): (typeof globalThis)[N] {
  const isInstance = function (this: unknown, value: unknown): boolean {
    // Of a class that extends it, `this` is that class.
    return this === proxy
      ? value instanceof light || (!isOrdinary(value) && value instanceof nodeClass(name))
      : Function.prototype[Symbol.hasInstance].call(this as () => void, value)
  }
  const proxy: object = new Proxy(function () {}, {
    construct(_, args: never[], newTarget) {
      const isOwn = newTarget === proxy
      return (
        (isOwn ? light.from(...args) : undefined) ??
        (Reflect.construct(nodeClass(name), args.map(toNode), isOwn ? nodeClass(name) : newTarget) as object)
      )
    },
    get: (_, key) => (key === Symbol.hasInstance ? isInstance : (Reflect.get(nodeClass(name), key) as unknown)),
    has: (_, key) => Reflect.has(nodeClass(name), key),
  })
  return proxy as (typeof globalThis)[N]
}

const ORDINARY: readonly unknown[] = [null, Object.prototype, Array.prototype]

/** Nothing made by a class: that is seen without loading one. Hono looks at all that a validator gives back. */
function isOrdinary(value: unknown): boolean {
  return typeof value !== 'object' || value === null || ORDINARY.includes(Object.getPrototypeOf(value))
}
