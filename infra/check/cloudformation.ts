import { loadAwsServiceSpecSync } from '@aws-cdk/aws-service-spec'
import { isObject } from '../../src/protocol/index.ts'

export type Properties = Readonly<Record<string, unknown>>

/** The checked parts of a compiled template. */
export type Template = {
  readonly Resources: Readonly<
    Record<
      string,
      {
        readonly Type: string
        readonly Properties?: Properties
        readonly DependsOn?: string | readonly string[]
        readonly DeletionPolicy?: string
        readonly UpdateReplacePolicy?: string
      }
    >
  >
  readonly Outputs?: Properties
}

/** Yields every object in a value with its path, such as `Properties.Policies[0].PolicyDocument`. */
export function* objectsIn(value: unknown, path = ''): Generator<readonly [path: string, object: Properties]> {
  if (Array.isArray(value)) {
    for (const [index, one] of value.entries()) yield* objectsIn(one, `${path}[${index}]`)
  } else if (isObject(value)) {
    yield [path, value]
    for (const [name, one] of Object.entries(value)) yield* objectsIn(one, path === '' ? name : `${path}.${name}`)
  }
}

/** Returns the logical id that `Ref` or `Fn::GetAtt` names. Undefined for any other value. */
export function targetOf(value: unknown): string | undefined {
  if (!isObject(value)) return undefined
  const { Ref, 'Fn::GetAtt': attribute } = value
  if (typeof Ref === 'string') return Ref
  return Array.isArray(attribute) || typeof attribute === 'string'
    ? [attribute].flat().join('.').split('.')[0]
    : undefined
}

/** Returns the properties of all resources of a type, with their logical ids. */
export const ofType = ({ Resources }: Template, type: string): [logicalId: string, properties: Properties][] =>
  Object.entries(Resources).flatMap(([id, { Type, Properties = {} }]) => (Type === type ? [[id, Properties]] : []))

/** Returns the first resource of a type whose properties match. Its logical id is undefined if there is none. */
export const find = (template: Template, type: string, matches: (properties: Properties) => boolean): Found =>
  ofType(template, type).find(([, properties]) => matches(properties)) ?? [undefined, {}]

type Found = readonly [logicalId: string | undefined, properties: Properties]

/** Returns the alarm for a metric of a queue or a function. */
export const findAlarm = (template: Template, metric: string, of: string): Found =>
  find(
    template,
    'AWS::CloudWatch::Alarm',
    (p) => p['MetricName'] === metric && JSON.stringify(p['Dimensions']).includes(`"Value":"${of}"`),
  )

/** CloudFormation's own limits. Source: "Understand CloudFormation quotas". */
const MAX_RESOURCES = 500
const MAX_BYTES = 1024 * 1024

export function* checkSize(template: Template): Generator<string> {
  const count = Object.keys(template.Resources).length
  if (count > MAX_RESOURCES)
    yield `the template has ${count} resources; CloudFormation accepts at most ${MAX_RESOURCES}`
  const bytes = Buffer.byteLength(JSON.stringify(template))
  if (bytes > MAX_BYTES) yield `the template has ${bytes} bytes; CloudFormation accepts at most ${MAX_BYTES}`
}

/** Checks names, presence and types of properties against the public CloudFormation schemas. */
export function* checkProperties({ Resources }: Template): Generator<string> {
  for (const [name, { Type, Properties = {} }] of Object.entries(Resources)) {
    const schema = lookUp(Type)
    if (schema === undefined) yield `${name}: CloudFormation does not know the type ${Type}`
    else yield* faultsOf(schema.properties, Properties, name)
  }
}

type Spec = ReturnType<typeof loadAwsServiceSpecSync>
type Property = { readonly type: PropertyType; readonly required?: boolean }

type PropertyType =
  | { readonly type: 'string' | 'integer' | 'number' | 'boolean' | 'json' | 'date-time' | 'null' | 'tag' }
  | { readonly type: 'array' | 'map'; readonly element: PropertyType }
  | { readonly type: 'ref'; readonly reference: { readonly $ref: string } }
  | { readonly type: 'union'; readonly types: readonly PropertyType[] }

let loaded: Spec | undefined

/** Returns the properties and attributes of a resource type in the public CloudFormation schemas. Undefined for an unknown type. */
function lookUp(type: string) {
  loaded ??= loadAwsServiceSpecSync()
  const [resource] = loaded.lookup('resource', 'cloudFormationType', 'equals', type)
  if (resource === undefined) return undefined
  return {
    properties: resource.properties as unknown as Readonly<Record<string, Property>>,
    attributes: new Set(Object.keys(resource.attributes)),
  }
}

/** Whether CloudFormation replaces this value when it deploys. The result is unknown here. */
const isIntrinsic = (value: unknown): boolean =>
  isObject(value) && Object.keys(value).length === 1 && /^(Ref|Fn::[A-Za-z]+)$/.test(Object.keys(value)[0] ?? '')

/** Yields the differences between properties and their schema: unknown names, missing properties, wrong types. */
function* faultsOf(known: Readonly<Record<string, Property>>, given: Properties, path: string): Generator<string> {
  for (const [name, { required }] of Object.entries(known))
    if (required === true && given[name] === undefined) yield `${path}.${name} is missing`
  for (const [name, value] of Object.entries(given)) {
    const property = known[name]
    if (property === undefined) yield `${path}.${name} is not a known property`
    else yield* faultsOfType(property.type, value, `${path}.${name}`)
  }
}

function* faultsOfType(type: PropertyType, value: unknown, path: string): Generator<string> {
  if (isIntrinsic(value)) return
  if (type.type === 'ref') {
    const definition = loaded?.get('typeDefinition', type.reference.$ref)
    if (!isObject(value)) yield `${path} must be an object`
    else if (definition !== undefined) yield* faultsOf(definition.properties, value, path)
  } else if (type.type === 'union') {
    const faults = type.types.map((one) => [...faultsOfType(one, value, path)])
    if (!faults.some((one) => one.length === 0)) yield faults[0]?.[0] ?? `${path} matches none of its types`
  } else if (type.type === 'array') {
    if (!Array.isArray(value)) return yield `${path} must be a list`
    for (const [index, one] of value.entries()) yield* faultsOfType(type.element, one, `${path}[${index}]`)
  } else if (type.type === 'map') {
    if (!isObject(value)) return yield `${path} must be a map`
    for (const [name, one] of Object.entries(value)) yield* faultsOfType(type.element, one, `${path}.${name}`)
  } else if (type.type === 'tag') {
    if (!isObject(value) || typeof value['Key'] !== 'string' || typeof value['Value'] !== 'string')
      yield `${path} must have Key and Value`
  } else if (type.type === 'json') {
    if (!isObject(value) && !Array.isArray(value)) yield `${path} must be JSON`
  } else if (!fits(type.type, value)) yield `${path} must be of the type ${type.type}, not ${JSON.stringify(value)}`
}

function fits(type: string, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'number' || type === 'boolean') return typeof value === type
  return type === 'null' ? value === null : typeof value === 'string'
}

/** CloudFormation's pseudo parameters. */
const PSEUDO = /^AWS::(AccountId|NotificationARNs|NoValue|Partition|Region|StackId|StackName|URLSuffix)$/

/** Yields references to missing resources: `Ref`, `Fn::GetAtt`, `Fn::Sub` and `DependsOn`. */
export function* checkReferences({ Resources, Outputs = {} }: Template): Generator<string> {
  const isKnown = (name: string) => PSEUDO.test(name) || Resources[name] !== undefined
  for (const [where, part] of Object.entries({ ...Resources, ...Outputs })) {
    for (const [path, object] of objectsIn(part)) {
      const at = `${where}${path === '' ? '' : `.${path}`}`
      const { Ref, 'Fn::GetAtt': attribute, 'Fn::Sub': text, DependsOn } = object
      if (typeof Ref === 'string' && !isKnown(Ref)) yield `${at}: Ref of ${Ref}, which does not exist`
      for (const name of [DependsOn].flat())
        if (path === '' && typeof name === 'string' && !isKnown(name))
          yield `${at}: DependsOn ${name}, which does not exist`
      if (attribute !== undefined) yield* checkAttribute(Resources, attribute, at)
      const template = Array.isArray(text) ? String(text[0]) : text
      if (typeof template === 'string') {
        for (const [, name = ''] of template.matchAll(/\$\{([^!}][^}]*)\}/g))
          if (!isKnown(name.split('.')[0] ?? '')) yield `${at}: Fn::Sub of ${name}, which does not exist`
      }
    }
  }
}

function* checkAttribute(resources: Template['Resources'], attribute: unknown, at: string): Generator<string> {
  const [name = '', ...rest] = Array.isArray(attribute) ? attribute.map(String) : String(attribute).split('.')
  const resource = resources[name]
  if (resource === undefined) return yield `${at}: Fn::GetAtt of ${name}, which does not exist`
  const known = lookUp(resource.Type)?.attributes
  if (known !== undefined && !known.has(rest.join('.')))
    yield `${at}: ${name} is a ${resource.Type} and has no attribute ${rest.join('.')}`
}
