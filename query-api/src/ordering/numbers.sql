SELECT category, name, id FROM features
