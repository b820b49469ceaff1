ALTER TABLE products DROP INDEX uq_products_sku, DROP COLUMN version, DROP COLUMN sku;
