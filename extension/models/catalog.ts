/** The models that come with the product: models/catalog.json, as the library and the command line read it. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

export interface CatalogModel {
  id: string;
  /** Absolute. */
  folder: string;
}

/** In the order of the catalogue, the first being the default. Empty when there is no catalogue in `root`. */
export function readCatalog(root: string): CatalogModel[] {
  const path = join(root, 'catalog.json');
  if (!existsSync(path)) return [];
  const entries = JSON.parse(readFileSync(path, 'utf8')) as CatalogModel[];
  return entries.map(({ id, folder }) => ({ id, folder: resolve(root, folder) }));
}
