import { loadAwsServiceSpecSync } from '@aws-cdk/aws-service-spec'

type Spec = ReturnType<typeof loadAwsServiceSpecSync>
type Property = { readonly type: PropertyType; readonly required?: boolean }

type PropertyType =
  | { readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'json' | 'date-time' | 'null' | 'tag' }
  | { readonly type: 'array'; readonly element: PropertyType }
  | { readonly type: 'map'; readonly element: PropertyType }
  | { readonly type: 'ref'; readonly reference: { readonly $ref: string } }
  | { readonly type: 'union'; readonly types: readonly PropertyType[] }

let loaded: Spec | undefined

/** What the public CloudFormation schemas say of a resource type; undefined for one that they do not know. */
export function lookUp(type: string) {
  loaded ??= loadAwsServiceSpecSync()
  const [resource] = loaded.lookup('resource', 'cloudFormationType', 'equals', type)
  if (resource === undefined) return undefined
  return {
    properties: resource.properties as unknown as Readonly<Record<string, Property>>,
    attributes: new Set(Object.keys(resource.attributes)),
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** CloudFormation puts something in this place when it deploys: what, cannot be known here. */
const isIntrinsic = (value: unknown): boolean =>
  isObject(value) && Object.keys(value).length === 1 && /^(Ref|Fn::[A-Za-z]+)$/.test(Object.keys(value)[0] ?? '')

/** What of these properties does not fit the schemas: names that there are not, missing ones, wrong types. */
export function* faultsOf(
  properties: Readonly<Record<string, Property>>,
  given: Readonly<Record<string, unknown>>,
  path: string,
): Generator<string> {
  for (const [name, { required }] of Object.entries(properties))
    if (required === true && given[name] === undefined) yield `${path}.${name} is missing`
  for (const [name, value] of Object.entries(given)) {
    const property = properties[name]
    if (property === undefined) yield `${path}.${name} is not a known property`
    else yield* faultsOfType(property.type, value, `${path}.${name}`)
  }
}

function* faultsOfType(type: PropertyType, value: unknown, path: string): Generator<string> {
  if (isIntrinsic(value)) return
  switch (type.type) {
    case 'ref': {
      const definition = loaded?.get('typeDefinition', type.reference.$ref)
      if (!isObject(value)) yield `${path} must be an object`
      else if (definition !== undefined) yield* faultsOf(definition.properties, value, path)
      return
    }
    case 'union': {
      const faults = type.types.map((one) => [...faultsOfType(one, value, path)])
      if (!faults.some((one) => one.length === 0)) yield faults[0]?.[0] ?? `${path} matches none of its types`
      return
    }
    case 'array':
      if (Array.isArray(value))
        for (const [index, one] of value.entries()) yield* faultsOfType(type.element, one, `${path}[${index}]`)
      else yield `${path} must be a list`
      return
    case 'map':
      if (isObject(value))
        for (const [name, one] of Object.entries(value)) yield* faultsOfType(type.element, one, `${path}.${name}`)
      else yield `${path} must be a map`
      return
    case 'tag':
      if (!isObject(value) || typeof value['Key'] !== 'string' || typeof value['Value'] !== 'string')
        yield `${path} must have Key and Value`
      return
    case 'json':
      if (!isObject(value) && !Array.isArray(value)) yield `${path} must be JSON`
      return
    case 'string':
    case 'date-time':
    case 'integer':
    case 'number':
    case 'boolean':
    case 'null':
      if (!fits(type.type, value)) yield `${path} must be of the type ${type.type}, not ${JSON.stringify(value)}`
  }
}

function fits(type: string, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'number') return typeof value === 'number'
  if (type === 'boolean') return typeof value === 'boolean'
  return type === 'null' ? value === null : typeof value === 'string'
}
