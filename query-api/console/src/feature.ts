/** A feature in an address: `category/name`, each percent-encoded. */
export interface Feature {
  category: string
  name: string
}

const plain = (text: string) => encodeURIComponent(text).replace(/%20/g, ' ')

export const encodeFeature = ({ category, name }: Feature): string => `${plain(category)}/${plain(name)}`

/** null if `text` is no feature. */
export function decodeFeature(text: string | null | undefined): Feature | null {
  const parts = text?.split('/')
  if (parts?.length !== 2) return null
  try {
    return { category: decodeURIComponent(parts[0]!), name: decodeURIComponent(parts[1]!) }
  } catch {
    return null
  }
}

export const sameFeature = (a: Feature, b: Feature): boolean => a.category === b.category && a.name === b.name
