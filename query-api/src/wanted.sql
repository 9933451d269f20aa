{# The numbers of the features that pass the filters. #}
SELECT id FROM features
WHERE ({category:String} = '' OR category = {category:String})
    AND ({name:String} = '' OR name = {name:String})
