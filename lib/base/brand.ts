// Two copies of this JavaScript can be in one process: an ES module of the program imports the
// package, a CommonJS one requires it, and each gets classes of its own. Objects are therefore known
// by a registered symbol and not by their class.

/** Of MemoryGroup: a method that gives the Origin of handle/handle.ts. */
export const GROUP = Symbol.for('cgroup-oom.MemoryGroup')
export const ERROR = Symbol.for('cgroup-oom.OomError')
export const EVENT_FD = Symbol.for('cgroup-oom.EventFd')

/** Marks the instances of a class: with `value`, a method or something that is true. */
export function brand(prototype: object, symbol: symbol, value: unknown): void {
  Object.defineProperty(prototype, symbol, { value })
}

export function hasBrand(value: unknown, symbol: symbol): boolean {
  return typeof value === 'object' && value !== null && symbol in value
}

/** `value instanceof Class` for a branded class: by its brand, but by inheritance for a subclass. */
export function isInstance(of: unknown, branded: unknown, symbol: symbol, value: unknown): boolean {
  if (of === branded) return hasBrand(value, symbol)
  const ordinary = Function.prototype[Symbol.hasInstance]
  return Reflect.apply(ordinary, of, [value])
}
